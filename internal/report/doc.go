// Package report writes how a site stood over a day or a week: as text, as HTML for mail, and as a picture
// of its computers day by day. It reads and keeps nothing; what it tells is passed in.
package report
