package mover

import (
	"bufio"
	"io"

	"google.golang.org/protobuf/encoding/protodelim"

	keepwardv1 "keepward/api/keepward/v1"
)

// decodeEvents reads up to the first event that is torn or none.
func decodeEvents(r io.Reader) []*keepwardv1.Event {
	var list []*keepwardv1.Event
	in := bufio.NewReader(r)
	for len(list) <= maxEvents {
		e := &keepwardv1.Event{}
		if err := protodelim.UnmarshalFrom(in, e); err != nil {
			return list
		}
		list = append(list, e)
	}
	return list
}
