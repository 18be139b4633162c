# Reads the output of `go test -v`, passes on what a person wants to see, and ends with the line "N passed, N failed".
# Exits 1 when anything failed, or when no test ran at all. With -v counts=FILE it appends "PASSED FAILED" to FILE.
#
# A package that fails without a failing test (it does not build, it timed out) counts as one failure.

/^=== (RUN|PAUSE|CONT|NAME)/ { next }
/^ *--- PASS:/ { passed++; next }
/^ *--- FAIL:/ { failed++; in_package++ }
/^ok\t/ || /^\?\t/ { in_package = 0 }
/^FAIL\t/ { if (!in_package) failed++; in_package = 0 }
/^PASS$/ || /\[no test files\]$/ { next }
{ print; fflush() }

END {
	printf "%d passed, %d failed\n", passed, failed
	if (counts) print passed + 0, failed + 0 >> counts
	exit failed > 0 || passed == 0
}
