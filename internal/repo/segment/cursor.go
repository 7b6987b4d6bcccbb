package segment

// Cursor reads a segment's rows one after the other; it checks every page. It belongs to one
// goroutine.
type Cursor struct {
	s    *Segment
	next int    // page
	page []byte // a copy: a fault of the disk shows when the page is taken, not later
	i, n int
	seen int64
}

// Cursor begins at the first row.
func (s *Segment) Cursor() *Cursor { return &Cursor{s: s} }

// Next answers the next row; ok is false behind the last one. An error is errs.Corrupt.
func (c *Cursor) Next() (row Row, ok bool, err error) {
	for c.i == c.n {
		if c.next == c.s.Pages() {
			if c.seen != c.s.rows {
				return Row{}, false, corrupt("rows", "%d rows, its header says %d", c.seen, c.s.rows)
			}
			return Row{}, false, nil
		}
		if err := c.turn(); err != nil {
			return Row{}, false, err
		}
	}
	row, err = c.s.row(c.page, c.i)
	c.i++
	c.seen++
	return row, err == nil, err
}

func (c *Cursor) turn() (err error) {
	defer guard(&err)()
	page, n, err := c.s.page(c.next)
	if err != nil {
		return err
	}
	if c.page == nil {
		c.page = make([]byte, PageSize)
	}
	copy(c.page, page)
	c.i, c.n = 0, n
	c.next++
	return nil
}
