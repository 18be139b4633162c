// Package program is what a long-running program of this project has around its work:
// flags that say what is wrong with them, a logger, HTTP servers that end without
// cutting off a request, and the question whether it is alive.
//
// It must not know what the program does: it imports nothing else of this project.
package program
