package server

import (
	"context"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
)

type protectionService struct{ *server }

// ProtectionDays is the manager's: it keeps to what its caller may know of before it ranks and pages.
func (s *protectionService) ProtectionDays(ctx context.Context, req *connect.Request[keepwardv1.ProtectionDaysRequest]) (*connect.Response[keepwardv1.ProtectionDaysResponse], error) {
	res, err := s.manager.ProtectionDays(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}
