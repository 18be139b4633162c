# Reads the output of `go test -v`, shows what a person wants to see of it, and ends with the line "N passed, N failed".
# Exits 1 when anything failed, or when no test ran at all. Variables, set with awk -v:
#
#   counts=FILE  append "PASSED FAILED" to FILE
#   verbose=1    show the output of tests that pass, too, as it comes; what failed is repeated before the last line
#
# A package that fails without a failing test (it does not build, it timed out) counts as one failure.

function show_held(name) {
	for (name in held) printf "%s", held[name]
	delete held
}

/^=== (RUN|CONT|NAME)/ { test = $3; next }
/^=== PAUSE/ { next }

/^ *--- PASS: / {
	passed++
	if (verbose) print
	delete held[$3]
	next
}
/^ *--- FAIL: / {
	failed++
	in_package++
	print
	if (verbose) repeated = repeated $0 "\n" held[$3]
	else printf "%s", held[$3]
	delete held[$3]
	next
}

/^PASS$/ || /^FAIL$/ || /^coverage:/ || /\[no test files\]$/ { next }
/^ok  \t/ { delete held; in_package = 0; print; fflush(); next }
/^FAIL\t/ {
	if (!verbose) show_held()
	else if (!in_package) for (name in held) repeated = repeated held[name]
	delete held
	if (!in_package) failed++
	in_package = 0
	print
	fflush()
	next
}

verbose { print; fflush() }
{ held[test] = held[test] $0 "\n" }

END {
	if (verbose) printf "%s", repeated
	else show_held()
	printf "%d passed, %d failed\n", passed, failed
	if (counts) print passed + 0, failed + 0 >> counts
	exit failed > 0 || passed == 0
}
