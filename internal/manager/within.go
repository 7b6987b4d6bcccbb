package manager

import "context"

type withinKey struct{}

// Within has lists that are asked for with ctx be of these computers alone, so that a page of a list is
// full of what its reader may know of. It is for the length of lists: who may know what is decided where
// the answer leaves.
func Within(ctx context.Context, computers []string) context.Context {
	if computers == nil {
		computers = []string{}
	}
	return context.WithValue(ctx, withinKey{}, computers)
}

// within is nil where all computers are listed.
func within(ctx context.Context) []string {
	list, _ := ctx.Value(withinKey{}).([]string)
	return list
}
