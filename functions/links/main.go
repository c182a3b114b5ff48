package main

import "github.com/duebell/duebell/shared/function"

func main() { function.Run("links", New) }
