// Package console is the web console: pages for a browser, made on the server from answers of
// the API.
//
// It knows nothing but what the API answers, and may nothing but what the API lets the user do
// whose token the browser holds: it calls the API's own handler, in this process, as any client
// would. So there is one table of who may call what, and the console has no row in it. It keeps
// no state between requests.
//
// Its handler may be used by many goroutines at once.
package console
