package chainsim

import "sync"

// answerCache keeps encoded answers, the newest up to a limit of bytes: at a million
// validators an epoch's committees are 9 MB and take longer to encode than to send.
type answerCache struct {
	mu      sync.Mutex
	entries []cachedAnswer
	bytes   int
}

type cachedAnswer struct {
	key  string
	body []byte
}

const answerCacheBytes = 200 << 20

// get returns the answer for key, made by fill when it is not there. Requests for
// other answers wait meanwhile, so that nothing is made twice.
func (c *answerCache) get(key string, fill func() []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if e.key == key {
			return e.body
		}
	}
	body := fill()
	c.entries = append(c.entries, cachedAnswer{key, body})
	c.bytes += len(body)
	for c.bytes > answerCacheBytes && len(c.entries) > 1 {
		c.bytes -= len(c.entries[0].body)
		c.entries = c.entries[1:]
	}
	return body
}
