package confluence

import (
	"context"
	"strings"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pathPermissionsDC = "/rest/api/permissions"

// normalizeDataCenterGlobal turns a global permission into a row; why says what it
// lacks to be one.
func normalizeDataCenterGlobal(w *dcPermissionWire) (row datasets.SitePermission, why string) {
	p, why := w.principal()
	row = datasets.SitePermission{
		PrincipalType: p.kind, PrincipalID: p.id, PrincipalName: p.name, Operation: string(w.Operation.Key), TargetType: string(w.Operation.TargetType),
	}
	if why == "" && row.Operation == "" {
		why = "no operation"
	}
	return row, why
}

// readDataCenterSitePermissions reads the global permissions. The first answer
// holds those of users, groups and visitors; the others are asked for as well,
// because what the first leaves out is not documented. None of them is paged.
func (s *visit) readDataCenterSitePermissions(ctx context.Context, _ string, yield yielder) error {
	type key struct{ kind, id, operation, target string }
	had := map[key]bool{}
	var bad lacking
	for _, path := range [...]string{pathPermissionsDC, pathPermissionsDC + "/anonymous", pathPermissionsDC + "/unlicensed"} {
		var list []dcPermissionWire
		err := s.get(ctx, path, nil, nil, func(a answer) error {
			var err error
			list, err = decodeDataCenterPermissions(a.body)
			return err
		})
		if err != nil {
			return s.readError(datasets.SitePermissions.Dataset, "", err)
		}
		rows := make([]datasets.SitePermission, 0, len(list))
		for i := range list {
			row, why := normalizeDataCenterGlobal(&list[i])
			k := key{row.PrincipalType, row.PrincipalID, row.Operation, row.TargetType}
			switch {
			case why != "":
				bad.add("a permission", strings.Join([]string{k.kind, k.id, k.operation, k.target}, " "), why)
			case !had[k]:
				had[k] = true
				rows = append(rows, row)
			}
		}
		if err := yieldPage(yield, datasets.SitePermissions, rows, nil); err != nil {
			return err
		}
		if s.peek {
			break
		}
	}
	return bad.err("GET " + pathPermissionsDC)
}
