package front

// KnownEngine tells whether the guard has an opinion about a table engine.
func KnownEngine(name string) bool { return outerEngines[name] || innerEngines[name] }
