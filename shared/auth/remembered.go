package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxRemembered bounds how many tokens are remembered, which is some hundred bytes each.
const maxRemembered = 5000

// remembered are the users of tokens that were found good. To check a signature takes
// longer than all else that a request costs here, and a client sends its token again and again. They
// are remembered for as long as the keys are that the tokens were checked with, and no
// longer than the tokens hold. Of a token only its hash is kept.
type remembered struct {
	mu    sync.Mutex
	users map[[sha256.Size]byte]User
}

func (r *remembered) find(token string) (User, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	user, ok := r.users[sha256.Sum256([]byte(token))]
	return user, ok && time.Now().Before(user.Expiry)
}

func (r *remembered) keep(token string, user User) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users == nil || len(r.users) >= maxRemembered {
		r.users = map[[sha256.Size]byte]User{}
	}
	r.users[sha256.Sum256([]byte(token))] = user
}
