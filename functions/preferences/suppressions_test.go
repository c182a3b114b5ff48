package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/store"
)

const listPath = "/api/suppressions"

func asOperator(w *functiontest.World, s *functiontest.Server, method, path string, body any) functiontest.Answer {
	return s.Call(method, path, body, "Authorization", "Bearer "+w.AdminToken())
}

func listed(t *testing.T, a functiontest.Answer) (page suppressionPage) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), &page); err != nil || a.Status != 200 {
		t.Fatalf("%d %s, %v", a.Status, a.Body, err)
	}
	return page
}

func TestOperatorsListAddAndLift(t *testing.T) {
	w, s := serve(t)
	oneClick(s, link("ada", "ada@example.com"))
	var added store.Suppression
	for i, status := range []int{201, 200} { // a second time nothing is changed
		a := asOperator(w, s, "POST", listPath, map[string]string{"address": "+15551234567", "reason": []string{"asked by letter", "again"}[i]})
		if err := json.Unmarshal([]byte(a.Body), &added); err != nil || a.Status != status {
			t.Fatalf("%d %s, %v", a.Status, a.Body, err)
		}
		if added.Reason != store.ReasonOperator || added.Note != "asked by letter" || added.By != "operator" || added.Channel != "sms" || added.LiftedAt != nil {
			t.Errorf("%+v", added)
		}
	}
	all := listed(t, asOperator(w, s, "GET", listPath, nil))
	if len(all.Suppressions) != 2 || all.Suppressions[0] != added || all.Suppressions[1].Reason != store.ReasonUnsubscribed || all.NextCursor != nil {
		t.Errorf("%+v", all)
	}
	first := listed(t, asOperator(w, s, "GET", listPath+"?limit=1", nil))
	if len(first.Suppressions) != 1 || first.NextCursor == nil {
		t.Fatalf("%+v", first)
	}
	rest := listed(t, asOperator(w, s, "GET", listPath+"?limit=1&cursor="+*first.NextCursor, nil))
	if len(rest.Suppressions) != 1 || rest.Suppressions[0] != all.Suppressions[1] || rest.NextCursor != nil {
		t.Errorf("%+v", rest)
	}
	for address, want := range map[string]int{"Ada%2Bx@example.com": 1, "eve@example.com": 0, "%2B15551234567": 1} {
		if got := listed(t, asOperator(w, s, "GET", listPath+"?address="+address, nil)); len(got.Suppressions) != want {
			t.Errorf("%s: %+v", address, got)
		}
	}
	path := listPath + "/" + added.ID.String() + "/lift"
	for range 2 {
		a := asOperator(w, s, "POST", path, `{"reason":"asked by phone"}`)
		var lifted store.Suppression
		if err := json.Unmarshal([]byte(a.Body), &lifted); err != nil || a.Status != 200 || lifted.LiftedAt == nil || *lifted.LiftedBy != "operator" || lifted.LiftNote != "asked by phone" {
			t.Errorf("%d %s, %v", a.Status, a.Body, err)
		}
	}
	if got := listed(t, asOperator(w, s, "GET", listPath, nil)); len(got.Suppressions) != 1 {
		t.Errorf("in force: %+v", got)
	}
	if got := listed(t, asOperator(w, s, "GET", listPath+"?lifted=true", nil)); len(got.Suppressions) != 2 {
		t.Errorf("all: %+v", got)
	}
	if n := w.Count(`select count(*) from audit_acts where caller = 'operator' and path like '/api/suppressions%' and method = 'POST'`); n != 4 {
		t.Errorf("%d acts in the audit log", n)
	}
	if n := w.Count(`select count(*) from suppressions s where s::text ilike '%example%' or s::text like '%555%'`); n != 0 {
		t.Errorf("%d rows hold an address", n)
	}
}

func TestSuppressionsAreForOperators(t *testing.T) {
	w, s := serve(t)
	lift := listPath + "/01900000-0000-7000-8000-000000000000/lift"
	for _, c := range [][2]string{{"GET", listPath}, {"POST", listPath}, {"POST", lift}} {
		w.WantProblem(s.Call(c[0], c[1], nil), 401, "unauthenticated", "")
		w.WantProblem(s.As("ada", c[0], c[1], nil), 403, "forbidden", "operators")
		w.WantProblem(s.Call(c[0], c[1], nil, "Authorization", "Bearer "+w.ServiceToken()), 403, "forbidden", "operators")
	}
	w.WantProblem(asOperator(w, s, "POST", lift, `{"reason":"x"}`), 404, "not_found", "no such suppression")
	for body, detail := range map[string]string{
		`{"address":"ada@example.com"}`: "reason must say why", `{"address":"ada","reason":"x"}`: "neither an e-mail address", `{"reason":"x"}`: "neither",
		`{"address":"ada@example.com","reason":"` + strings.Repeat("x", 501) + `"}`: "1 to 500", `{"address":"ada@example.com","reason":"x","by":"eve"}`: "not known",
	} {
		w.WantProblem(asOperator(w, s, "POST", listPath, body), 400, "invalid", detail)
	}
	w.WantProblem(asOperator(w, s, "POST", lift, `{}`), 400, "invalid", "reason must say why")
	w.WantProblem(asOperator(w, s, "GET", listPath+"?address=ada", nil), 400, "invalid", "neither")
	w.WantProblem(asOperator(w, functiontest.Serve(w, New), "POST", listPath, `{"address":"ada@example.com","reason":"x"}`), 409, "conflict", "SUPPRESSION_KEY")
	if n := w.Count(`select count(*) from suppressions`); n != 0 {
		t.Errorf("%d suppressions", n)
	}
}
