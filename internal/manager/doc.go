// Package manager moves sessions through their life: the job manager (submission, queue,
// conflicts, schedules, restarts) and one backup manager for every session that is not over,
// which asks the broker, brings agent and mover together and follows them to the end.
//
// It decides when, where and why; it does not touch backup data, does not know how a backup is
// made, and does not know certificates or users beyond a name. Deciding is pure (task*.go,
// board.go, choose.go): events and the time go in, changes and orders come out. A backup manager
// writes the changes to the catalog first and gives the orders then.
//
// Every method of Manager may be called from any goroutine. A task is owned by the worker that
// reads its session's mail (line.go) and by nothing else. No lock is taken under another, and no call to the catalog or
// to a node is made under one; the tokens late and supply are held over calls to the catalog,
// and Manager.mu may be taken under them.
package manager
