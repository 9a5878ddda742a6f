package front

import "fmt"

// exception makes an error in the form the engine's own have, so that clients read code and name from it.
func exception(code int, name, text string) error {
	return fmt.Errorf("Code: %d. DB::Exception: %s. (%s)", code, text, name)
}
