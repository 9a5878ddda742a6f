// Package vault keeps secrets unreadable: at rest it encrypts them with
// AES-256-GCM under a keyset in a file of its own, and in memory it wraps them
// in Secret, which no printer can open.
//
// The key file lives outside the data directory and outside its backups, with
// mode 0600. What is sealed is bound to its row by associated data (tenant,
// kind, generation; see AssociatedData), so a ciphertext copied to another
// row, or an old one put back over a new one, does not open (Invariant 9).
//
// Package oauth seals token pairs with it; collector/state stores the sealed
// bytes and never sees what is inside.
package vault
