// Package pgtest gives tests a real Postgres of their own: started from installed
// programs in a temporary folder, with a random password, on a free port of 127.0.0.1
// and a Unix socket, also when the tests run as root. It can be stopped, killed and
// started again in the middle of a test.
//
// It must not know what is stored in it: it imports nothing else of this project.
package pgtest
