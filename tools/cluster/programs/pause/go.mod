module github.com/duebell/duebell/tools/cluster/programs/pause

go 1.26.4
