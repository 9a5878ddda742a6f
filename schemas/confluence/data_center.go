package confluence

// The endpoints of a Data Center site that security_configuration is read from.
const (
	SectionServerInformation = "server_information"
	SectionAccessMode        = "access_mode"
)
