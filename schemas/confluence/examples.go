package confluence

import "strings"

// orUnknown is SQL for questions whose answer may be "none": the rows of a dataset
// that fit, and a line without a row for each tenant of which they are not known,
// which is not the same as none (Invariant 1 as readers see it).
func orUnknown(dataset, where string, columns ...string) string {
	return "SELECT t.tenant_id AS tenant_id, t.state AS state, r." + strings.Join(columns, ", r.") +
		" FROM sitedrift.tiles AS t LEFT JOIN (SELECT tenant_id, " + strings.Join(columns, ", ") + " FROM sitedrift." + dataset + where + ") AS r ON r.tenant_id = t.tenant_id" +
		" WHERE t.dataset = '" + dataset + "' AND (r.tenant_id != '' OR t.state != 'complete')" +
		" ORDER BY tenant_id, r." + columns[0]
}
