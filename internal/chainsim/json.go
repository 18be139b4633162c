package chainsim

import (
	"encoding/hex"
	"strconv"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// Numbers are strings in the Beacon API's JSON, bytes are hex with a prefix.

func appendNumber[T ~uint64 | ~uint32 | ~int | ~int64](b []byte, n T) []byte {
	b = append(b, '"')
	if n < 0 {
		b = strconv.AppendInt(b, int64(n), 10)
	} else {
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	return append(b, '"')
}

func appendHex(b, data []byte) []byte {
	b = append(b, `"0x`...)
	b = hex.AppendEncode(b, data)
	return append(b, '"')
}

func appendCheckpoint(b []byte, name string, c checkpoint) []byte {
	b = append(b, `"`+name+`":{"epoch":`...)
	b = appendNumber(b, c.epoch)
	b = append(b, `,"root":`...)
	b = appendHex(b, c.root[:])
	return append(b, '}')
}

func appendRecord(b []byte, r *registry, rec *record) []byte {
	b = append(b, `{"index":`...)
	b = appendNumber(b, rec.index)
	b = append(b, `,"balance":`...)
	b = appendNumber(b, rec.balance)
	b = append(b, `,"status":"`...)
	b = append(b, rec.status...)
	b = append(b, `","validator":{"pubkey":`...)
	key, credentials := r.pubkey(rec.index), r.credentials(rec.index)
	b = appendHex(b, key[:])
	b = append(b, `,"withdrawal_credentials":`...)
	b = appendHex(b, credentials[:])
	b = append(b, `,"effective_balance":`...)
	b = appendNumber(b, rec.effective)
	b = append(b, `,"slashed":`...)
	b = strconv.AppendBool(b, rec.slashed)
	for _, event := range []struct {
		name  string
		epoch duty.Epoch
	}{
		{`,"activation_eligibility_epoch":`, rec.eligibility},
		{`,"activation_epoch":`, rec.activation},
		{`,"exit_epoch":`, rec.exit},
		{`,"withdrawable_epoch":`, rec.withdrawable},
	} {
		b = append(b, event.name...)
		b = appendNumber(b, event.epoch)
	}
	return append(b, "}}"...)
}
