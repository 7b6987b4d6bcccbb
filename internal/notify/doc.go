// Package notify is what people and programs are told: events, which rule takes which, how they
// are written, and how a message is handed over. It keeps nothing and decides nothing about when:
// the server has the outbox, and calls from several goroutines at once.
package notify
