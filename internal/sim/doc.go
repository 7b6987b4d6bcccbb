// Package sim proves what the job manager promises on whole sites that are invented: it has tests
// only.
//
// A site is the real manager, broker and catalog with fake agents, movers and a library, in a
// bubble of testing/synctest: its clock moves when everybody waits. A seed chooses which sessions
// come, what they are, which message arrives late, twice or never, who crashes, what is switched
// off and what users do. After every step the properties of check_test.go hold; in the end
// everything is mended, and every session must end. What a job type does is not simulated: what it
// holds, whom it interrupts and where it waits is, from the same tables that the product runs by.
//
// rows_test.go goes through those tables row by row. docs/decisions/simulation.md says what is
// assumed, and how to run it for a night.
package sim
