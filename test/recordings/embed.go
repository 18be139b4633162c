// Package recordings embeds answers of real beacon nodes; README.md says which.
// Package internal/recording serves them.
package recordings

import "embed"

// Files holds one folder for each recording.
//
//go:embed devnet-electra devnet-leak
var Files embed.FS
