package auth

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// maxRemembered bounds how many tokens are remembered, which is some hundred bytes each.
const maxRemembered = 5000

// session is a token that was found good.
type session struct {
	user     User
	recorded atomic.Bool // what it says about its user is settled
}

// remembered are the sessions of tokens, by their hash. To check a signature takes
// longer than all else that a request costs here, and a client sends its token again and again. They
// are remembered for as long as the keys are that the tokens were checked with, and no
// longer than the tokens hold. Of a token only its hash is kept.
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
