package segment

// At is row number n, counted from 0; it checks the row's page. An error is errs.Corrupt.
func (s *Segment) At(n int64) (row Row, err error) {
	defer guard(&err)()
	p := int(n / rowsPerPage)
	if n < 0 || p >= s.Pages() {
		return Row{}, corrupt("rows", "there is no row %d", n)
	}
	page, rows, err := s.page(p)
	if err != nil {
		return Row{}, err
	}
	if i := int(n % rowsPerPage); i < rows {
		return s.row(page, i)
	}
	return Row{}, corrupt("rows", "there is no row %d", n)
}
