package confluence

import (
	"context"
	"net/http"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const (
	pathPolicySpaces         = "/wiki/api/v2/data-policies/spaces"
	pathClassificationLevels = "/wiki/api/v2/classification-levels"
)

// policySpaceWire is a space in "Get spaces with data policies" (Confluence Cloud
// REST v2, experimental).
type policySpaceWire struct {
	ID     ident   `json:"id"`
	Key    *string `json:"key"`
	Name   *string `json:"name"`
	Policy *struct {
		Blocked *bool `json:"anyContentBlocked"`
	} `json:"dataPolicy"`
}

func policySpaceID(w *policySpaceWire) ident { return w.ID }

func decodePolicySpaces(body []byte) (batch[policySpaceWire], error) {
	return decodeV2(body, policySpaceID)
}

func normalizePolicySpace(w *policySpaceWire) (row datasets.DataPolicy, why string) {
	row = datasets.DataPolicy{SpaceID: string(w.ID), Name: optional(w.Name)}
	if w.Key != nil {
		row.SpaceKey = *w.Key
	}
	if w.Policy == nil || w.Policy.Blocked == nil {
		return row, "it does not say whether content is blocked"
	}
	return row, ""
}

// readDataPolicies reads in which spaces content is kept from the collecting app.
func (s *visit) readDataPolicies(ctx context.Context, _ string, yield yielder) error {
	var bad lacking
	l := listing[policySpaceWire]{path: pathPolicySpaces, limit: limitV2, weight: weightCore, decode: decodePolicySpaces, id: policySpaceID}
	err := cursorPages(ctx, s, datasets.DataPolicies.Dataset, l, func(items []policySpaceWire) error {
		var rows, unknown []datasets.DataPolicy
		for i := range items {
			row, why := normalizePolicySpace(&items[i])
			if why == "" && !*items[i].Policy.Blocked {
				continue
			}
			if why != "" {
				bad.add("space", row.SpaceID, why)
				unknown = append(unknown, row)
			} else {
				rows = append(rows, row)
			}
		}
		return yieldPage(yield, datasets.DataPolicies, rows, unknown)
	})
	if err != nil {
		return err
	}
	return bad.err("GET " + pathPolicySpaces)
}

// levelWire is a level in "Get list of classification levels" (Confluence Cloud
// REST v2).
type levelWire struct {
	ID          ident   `json:"id"`
	Status      *string `json:"status"`
	Name        *string `json:"name"`
	Description *string `json:"description"`
	Guideline   *string `json:"guideline"`
	Color       *string `json:"color"`
	Order       *int64  `json:"order"`
}

func decodeLevels(body []byte) ([]levelWire, error) {
	var list []levelWire
	if err := decode(body, &list); err != nil {
		return nil, err
	}
	return list, checkItems(list, func(w *levelWire) ident { return w.ID })
}

// readClassificationLevels reads the list, which is not paged. 404 says that there
// are none, or that the plan has none: nobody can tell.
func (s *visit) readClassificationLevels(ctx context.Context, _ string, yield yielder) error {
	var levels []levelWire
	err := s.get(ctx, pathClassificationLevels, nil, nil, func(a answer) (err error) {
		levels, err = decodeLevels(a.body)
		return err
	})
	if statusOf(err) == http.StatusNotFound {
		return &collector.ReadError{State: schemas.CoverageNotLicensed, Evidence: "GET " + pathClassificationLevels + ": 404: there are no levels, or the site's plan has none"}
	}
	if err != nil {
		return s.readError(datasets.ClassificationLevels.Dataset, "", err)
	}
	s.spend(weightCore, len(levels))
	var bad lacking
	var rows, unknown []datasets.ClassificationLevel
	for _, w := range levels {
		row := datasets.ClassificationLevel{
			LevelID: string(w.ID), Name: optional(w.Name), Description: optional(w.Description), Guideline: optional(w.Guideline), Color: optional(w.Color), Order: w.Order,
		}
		if w.Status == nil {
			bad.add("level", row.LevelID, "no status")
			unknown = append(unknown, row)
			continue
		}
		row.Status = *w.Status
		rows = append(rows, row)
	}
	if err := yieldPage(yield, datasets.ClassificationLevels, rows, unknown); err != nil {
		return err
	}
	return bad.err("GET " + pathClassificationLevels)
}
