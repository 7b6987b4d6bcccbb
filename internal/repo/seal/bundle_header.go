package seal

import "encoding/binary"

// BundleHeaderLen is the length of the header of a bundle of n members.
func BundleHeaderLen(n int) int { return bundleFixed + n*bundleMember }

// AppendBundleHeader appends the header of a bundle of these members to dst, for writers that
// lay the members' bytes behind it themselves. The bundle's H is the hash of the header as
// KindBundle.
func AppendBundleHeader(dst []byte, hashes []H, sizes []int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(sizes)))
	for i := range sizes {
		dst = append(dst, hashes[i][:]...)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(sizes[i]))
	}
	return dst
}
