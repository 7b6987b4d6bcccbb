package server

// roleMay tells the console whether a role may make a call, so that it offers no more. Who calls is
// looked at again with the call itself.
func roleMay(role, procedure string) bool { return accessTo(procedure)&roleOf(role) != 0 }
