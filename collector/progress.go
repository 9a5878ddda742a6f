package collector

import "sync"

// Progress tells how far the reading of a dataset is.
type Progress struct {
	Dataset     string
	Done, Total int // partitions
}

// progressed counts for Progress.
type progressed struct {
	mu sync.Mutex
	at map[string]Progress
}

// progress counts partitions of a dataset and tells whoever asked for it.
func (x *run) progress(dataset string, done, total int) {
	if x.request.Progress == nil {
		return
	}
	x.progressed.mu.Lock()
	defer x.progressed.mu.Unlock()
	if x.progressed.at == nil {
		x.progressed.at = map[string]Progress{}
	}
	p := x.progressed.at[dataset]
	p.Dataset, p.Done, p.Total = dataset, p.Done+done, p.Total+total
	x.progressed.at[dataset] = p
	x.request.Progress(p)
}
