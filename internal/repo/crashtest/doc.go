// Package crashtest proves that a repository loses nothing in a crash: it has tests only.
//
// A history is a small life of a repository on an invented disk. The enumeration runs it once,
// keeps what the disk was before every call that changes it, and for each of these moments
// lets all processes die, and the power go with what was not synced lost in several ways.
// Then the repository must open, hold what was acknowledged and nothing that was not begun,
// take the next backup, and be clean after a sweep. docs/decisions/crash-safety.md says what
// is assumed of a disk, and how to run it in full.
package crashtest
