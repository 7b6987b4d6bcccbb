package chunk

// vector1 are the chunk lengths of the first 8 MiB of the BLAKE3 output stream over
// "keepward chunker vector 1", with the key 01 02 03 … 20.
var vector1 = []int{526997, 1195227, 1201364, 1223219, 838212, 839754, 836274, 897816, 829745}
