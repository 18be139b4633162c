package receiver

// What tests from outside need of the inside.

// Arrivals tells how many bytes bodies without a place may still have, and how many places
// are taken.
func Arrivals(r *Receiver) (room int64, places int) { return r.room.Load(), len(r.places) }
