// goose as a library, as a program that embeds it runs it: with its session locker.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(verb, folder, url string) error {
	database, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer database.Close()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(
		goose.DialectPostgres, database, os.DirFS(folder), goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	if verb == "down" {
		_, err = provider.Down(context.Background())
		return err
	}
	_, err = provider.Up(context.Background())
	return err
}
