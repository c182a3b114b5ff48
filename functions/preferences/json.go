package main

import (
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// maxBody has room for all that is allowed.
const maxBody = 256 << 10

// input is preferences going in. What is left out, or null, gets its default.
type input struct {
	TimeZone *string              `json:"time_zone"`
	Language *string              `json:"language"`
	Channels switches             `json:"channels"`
	Emails   []string             `json:"emails"`
	Phones   []string             `json:"phones"`
	Devices  []preferences.Device `json:"devices"`
	Webhook  *struct {
		URL    string               `json:"url"`
		Secret web.Optional[string] `json:"secret"`
	} `json:"webhook"`
}

// switches are channels going in.
type switches struct {
	InApp   *bool `json:"in_app"`
	Email   *bool `json:"email"`
	Push    *bool `json:"push"`
	SMS     *bool `json:"sms"`
	Webhook *bool `json:"webhook"`
}

// on returns the channels that are on: as they are switched, or else by default.
func (s switches) on(byDefault []task.Channel) []task.Channel {
	switched := map[task.Channel]*bool{
		task.InApp: s.InApp, task.Email: s.Email, task.Push: s.Push, task.SMS: s.SMS, task.Webhook: s.Webhook,
	}
	defaults := preferences.Preferences{Channels: byDefault}
	on := []task.Channel{}
	for _, c := range task.Channels {
		if set := switched[c]; (set == nil && defaults.On(c)) || (set != nil && *set) {
			on = append(on, c)
		}
	}
	return on
}

// preferences returns what the input describes, validated, but for the channels:
// their defaults depend on the user.
func (in input) preferences(rules preferences.Rules) (preferences.Preferences, error) {
	p := preferences.Default(false)
	p.Channels = nil
	p.Emails, p.Phones, p.Devices = in.Emails, in.Phones, in.Devices
	if in.TimeZone != nil {
		p.TimeZone = *in.TimeZone
	}
	if in.Language != nil {
		p.Language = *in.Language
	}
	if in.Webhook != nil {
		secret := in.Webhook.Secret
		if secret.Present && !secret.Null && secret.Value == "" {
			return p, fault.Invalid("webhook: secret is empty; leave it out to keep the one on record, or send null for none")
		}
		p.Webhook = &preferences.Webhook{URL: in.Webhook.URL, Secret: config.Secret(secret.Value), KeepSecret: !secret.Present}
	}
	return p, p.Validate(rules)
}

// output is preferences coming out.
type output struct {
	TimeZone string               `json:"time_zone"`
	Language string               `json:"language"`
	Channels channels             `json:"channels"`
	Emails   []string             `json:"emails"`
	Phones   []string             `json:"phones"`
	Devices  []preferences.Device `json:"devices"`
	Webhook  *webhook             `json:"webhook"`
}

type channels struct {
	InApp   bool `json:"in_app"`
	Email   bool `json:"email"`
	Push    bool `json:"push"`
	SMS     bool `json:"sms"`
	Webhook bool `json:"webhook"`
}

// webhook has no secret: it is never shown.
type webhook struct {
	URL string `json:"url"`
}

func show(p preferences.Preferences) output {
	out := output{
		TimeZone: p.TimeZone, Language: p.Language, Emails: p.Emails, Phones: p.Phones, Devices: p.Devices,
		Channels: channels{
			InApp: p.On(task.InApp), Email: p.On(task.Email), Push: p.On(task.Push), SMS: p.On(task.SMS), Webhook: p.On(task.Webhook),
		},
	}
	if p.Webhook != nil {
		out.Webhook = &webhook{URL: p.Webhook.URL}
	}
	return out
}
