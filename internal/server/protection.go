package server

import (
	"context"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
)

type protectionService struct{ *server }

// ListProtectionDays is the manager's: it keeps to what its caller may know of before it ranks and pages.
func (s *protectionService) ListProtectionDays(ctx context.Context, req *connect.Request[keepwardv1.ListProtectionDaysRequest]) (*connect.Response[keepwardv1.ListProtectionDaysResponse], error) {
	res, err := s.manager.ListProtectionDays(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}
