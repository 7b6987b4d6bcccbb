// Package traffic decides how fast tasks may move data: under traffic rules over the network, and
// under what repositories may read and write. It is told of tasks, of their ends' addresses and of
// what they move, and answers each one's share.
//
// It does no I/O and reads no clock. A Table belongs to one goroutine at a time.
package traffic
