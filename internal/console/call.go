package console

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/wire"
)

// client is what the console calls of the API.
type client struct {
	access       v1.AccessServiceClient
	users        v1.UserServiceClient
	tokens       v1.APITokenServiceClient
	status       v1.StatusServiceClient
	computers    v1.ComputerServiceClient
	repositories v1.RepositoryServiceClient
	jobs         v1.JobServiceClient
	previews     v1.JobPreviewServiceClient
	protection   v1.ProtectionServiceClient
	groups       v1.GroupServiceClient
	credentials  v1.CredentialServiceClient
	queue        v1.QueueServiceClient
	codes        v1.OneTimeCodeServiceClient
	passkeys     v1.PasskeyServiceClient
	signOns      v1.SignOnServiceClient
	sessions     v1.SessionServiceClient
	details      v1.SessionDetailServiceClient
	points       v1.PointServiceClient
	content      v1.ContentServiceClient
	restores     v1.RestoreServiceClient
	connections  v1.ConnectionServiceClient
	updates      v1.UpdateServiceClient
	settings     v1.SettingsServiceClient
	traffic      v1.TrafficServiceClient
	notices      v1.NotifyServiceClient
	approvals    v1.ApprovalServiceClient
	audit        v1.AuditServiceClient
}

func newClient(api http.Handler) *client {
	h := &http.Client{Transport: wire.InProcess(api, forCaller)}
	const url = "http://keepward" // nobody looks at it: nothing is dialled
	opts := []connect.ClientOption{
		connect.WithInterceptors(wire.Errors()),
		connect.WithAcceptCompression("gzip", nil, nil), // it would be undone in the same process
	}
	return &client{
		access:       v1.NewAccessServiceClient(h, url, opts...),
		users:        v1.NewUserServiceClient(h, url, opts...),
		codes:        v1.NewOneTimeCodeServiceClient(h, url, opts...),
		passkeys:     v1.NewPasskeyServiceClient(h, url, opts...),
		signOns:      v1.NewSignOnServiceClient(h, url, opts...),
		tokens:       v1.NewAPITokenServiceClient(h, url, opts...),
		status:       v1.NewStatusServiceClient(h, url, opts...),
		computers:    v1.NewComputerServiceClient(h, url, opts...),
		repositories: v1.NewRepositoryServiceClient(h, url, opts...),
		jobs:         v1.NewJobServiceClient(h, url, opts...),
		previews:     v1.NewJobPreviewServiceClient(h, url, opts...),
		protection:   v1.NewProtectionServiceClient(h, url, opts...),
		groups:       v1.NewGroupServiceClient(h, url, opts...),
		credentials:  v1.NewCredentialServiceClient(h, url, opts...),
		queue:        v1.NewQueueServiceClient(h, url, opts...),
		sessions:     v1.NewSessionServiceClient(h, url, opts...),
		details:      v1.NewSessionDetailServiceClient(h, url, opts...),
		points:       v1.NewPointServiceClient(h, url, opts...),
		content:      v1.NewContentServiceClient(h, url, opts...),
		restores:     v1.NewRestoreServiceClient(h, url, opts...),
		connections:  v1.NewConnectionServiceClient(h, url, opts...),
		updates:      v1.NewUpdateServiceClient(h, url, opts...),
		settings:     v1.NewSettingsServiceClient(h, url, opts...),
		traffic:      v1.NewTrafficServiceClient(h, url, opts...),
		notices:      v1.NewNotifyServiceClient(h, url, opts...),
		approvals:    v1.NewApprovalServiceClient(h, url, opts...),
		audit:        v1.NewAuditServiceClient(h, url, opts...),
	}
}

// call makes one call and unwraps its answer.
func call[Req, Res any](ctx context.Context, method func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), req *Req) (*Res, error) {
	res, err := method(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// receive reads a stream to its end, or until each returns an error, which it returns.
func receive[Req, Res any](ctx context.Context, method func(context.Context, *connect.Request[Req]) (*connect.ServerStreamForClient[Res], error), req *Req, each func(*Res) error) error {
	ctx, cancel := context.WithCancel(ctx) // else closing the stream would wait for its end
	defer cancel()
	s, err := method(ctx, connect.NewRequest(req))
	if err != nil {
		return wire.FromConnect(err)
	}
	for s.Receive() {
		if err := each(s.Msg()); err != nil {
			cancel()
			_ = s.Close() // what went wrong is known
			return err
		}
	}
	if err := s.Err(); err != nil {
		_ = s.Close()
		return wire.FromConnect(err)
	}
	return s.Close()
}

// caller is for whom a call is made.
type caller struct {
	token   string
	address string // of the browser
}

type callerKey struct{}

func as(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// forCaller gives a request to the API the caller that its context names.
func forCaller(req *http.Request) {
	who, _ := req.Context().Value(callerKey{}).(caller)
	req.RemoteAddr = who.address
	if who.token != "" {
		req.Header.Set("Authorization", "Bearer "+who.token)
	}
}
