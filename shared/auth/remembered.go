package auth

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// maxRemembered is how many tokens are remembered at most. Each takes some hundred bytes.
const maxRemembered = 5000

// session is what a token says that was found valid.
type session struct {
	user     User
	recorded atomic.Bool // what it says about its user is settled
}

// remembered are the sessions of tokens, by the tokens' hashes. A client sends the same token again
// and again, and checking its signature takes longer than the rest of a request. A session
// is remembered until the token expires, or the keys that it was checked with are dropped. Of a
// token only its hash is kept.
type remembered struct {
	mu       sync.Mutex
	sessions map[[sha256.Size]byte]*session
}

// find returns the session of a token, or nil.
func (r *remembered) find(hash [sha256.Size]byte) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sessions[hash]
	if s == nil || !time.Now().Before(s.user.Expiry) {
		return nil
	}
	return s
}

func (r *remembered) keep(hash [sha256.Size]byte, s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions == nil || len(r.sessions) >= maxRemembered {
		r.sessions = map[[sha256.Size]byte]*session{}
	}
	r.sessions[hash] = s
}
