package manager

import (
	"context"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// ListSettings lists the settings of the whole server.
func (m *Manager) ListSettings(ctx context.Context, _ *connect.Request[keepwardv1.ListSettingsRequest]) (*connect.Response[keepwardv1.ListSettingsResponse], error) {
	if err := m.waitReady(ctx); err != nil {
		return nil, err
	}
	out := &keepwardv1.ListSettingsResponse{}
	k := m.knobs()
	for _, s := range job.Settings {
		if s.Turned() {
			out.Settings = append(out.Settings, settingRow(k, s))
		}
	}
	return connect.NewResponse(out), nil
}

func settingRow(k *Knobs, s job.Setting) *keepwardv1.Setting {
	_, changed := k.values[s.Name]
	return &keepwardv1.Setting{
		Name: s.Name, Value: formatSetting(k.value(s.Name)), Default: formatSetting(s.Default), Meaning: s.Meaning,
		Changed: changed, Bounds: boundsText(s),
	}
}

// SetSetting changes a setting. It holds when the call is answered.
func (m *Manager) SetSetting(ctx context.Context, req *connect.Request[keepwardv1.SetSettingRequest]) (*connect.Response[keepwardv1.SetSettingResponse], error) {
	s, err := settingNamed(req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	v, err := parseSetting(s, req.Msg.GetValue())
	if err != nil {
		return nil, err
	}
	row, err := m.changeSetting(ctx, s, v)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.SetSettingResponse{Setting: row}), nil
}

// ResetSetting gives a setting its default back.
func (m *Manager) ResetSetting(ctx context.Context, req *connect.Request[keepwardv1.ResetSettingRequest]) (*connect.Response[keepwardv1.ResetSettingResponse], error) {
	s, err := settingNamed(req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	row, err := m.changeSetting(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.ResetSettingResponse{Setting: row}), nil
}

func (m *Manager) changeSetting(ctx context.Context, s job.Setting, v any) (*keepwardv1.Setting, error) {
	if err := m.waitReady(ctx); err != nil {
		return nil, err
	}
	if err := m.turnSetting(ctx, s, v); err != nil {
		return nil, err
	}
	row := settingRow(m.knobs(), s)
	m.log.Info("setting changed", "setting", s.Name, "value", row.GetValue(), "user", m.user(ctx))
	return row, nil
}

// settingNamed finds a setting that can be changed for the whole server.
func settingNamed(name string) (job.Setting, error) {
	s, ok := job.Named(name)
	switch {
	case ok && s.Turned():
		return s, nil
	case ok && s.Where() != "":
		return s, errs.New(errs.Invalid, "setting.elsewhere", "change setting %s: it is not one of the whole server", name).
			WithHint("change it with: keepward %s", s.Where())
	case ok:
		return s, errs.New(errs.Invalid, "setting.fixed", "change setting %s: it cannot be changed", name)
	}
	var names []string
	for _, s := range job.Settings {
		if s.Turned() {
			names = append(names, s.Name)
		}
	}
	return s, catalog.NotFound("setting", name, names)
}
