package seal

// HeaderCodec reads from a record's header alone how its content was compressed.
func HeaderCodec(b []byte) (Codec, error) {
	if _, err := HeaderLen(b); err != nil {
		return 0, err
	}
	return Codec(b[5] &^ punchedCodec), nil
}
