// Package schema looks at the schema of the API as data: what a later one may not take back, and
// what is said of it in its files. It serves tests and the reference that they print, and neither
// calls nor answers anything. Its values are not changed after they were made.
package schema
