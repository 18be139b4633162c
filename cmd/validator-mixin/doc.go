// Command validator-mixin renders dashboards, rules, alerts and runbooks.
//
// It holds flags and files, and nothing else: it must not know what a rule or a panel
// says.
package main
