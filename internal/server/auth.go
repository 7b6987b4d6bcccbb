package server

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// Who may call a method.
type access int

const (
	// open is for everybody: the call brings its own proof.
	open access = iota + 1
	// admin is for users of the role of that name.
	admin
	// node is for agents and transports, over their links.
	node
)

const roleAdmin = "admin"

// methods says who may call what. What is not here is refused to all.
var methods = map[string]access{
	keepwardv1connect.AccessServiceLoginProcedure:                   open,
	keepwardv1connect.AccessServiceCreateTokenProcedure:             admin,
	keepwardv1connect.AccessServiceListTokensProcedure:              admin,
	keepwardv1connect.AccessServiceRevokeTokenProcedure:             admin,
	keepwardv1connect.StatusServiceGetStatusProcedure:               admin,
	keepwardv1connect.ComputerServiceListComputersProcedure:         admin,
	keepwardv1connect.ComputerServiceGetComputerProcedure:           admin,
	keepwardv1connect.ComputerServiceRemoveComputerProcedure:        admin,
	keepwardv1connect.ConnectionServiceAddComputerProcedure:         admin,
	keepwardv1connect.ConnectionServiceEditComputerProcedure:        admin,
	keepwardv1connect.ConnectionServiceTestConnectionProcedure:      admin,
	keepwardv1connect.RepositoryServiceCreateRepositoryProcedure:    admin,
	keepwardv1connect.RepositoryServiceListRepositoriesProcedure:    admin,
	keepwardv1connect.RepositoryServiceGetRepositoryProcedure:       admin,
	keepwardv1connect.RepositoryServiceEditRepositoryProcedure:      admin,
	keepwardv1connect.RepositoryServiceGetRepositoryStatsProcedure:  admin,
	keepwardv1connect.RepositoryServiceListRepositoryKeysProcedure:  admin,
	keepwardv1connect.RepositoryServiceAddRepositoryKeyProcedure:    admin,
	keepwardv1connect.RepositoryServiceRemoveRepositoryKeyProcedure: admin,
	keepwardv1connect.RepositoryServiceBeginEpochProcedure:          admin,
	keepwardv1connect.RepositoryServiceAttachRepositoryProcedure:    admin,
	keepwardv1connect.RepositoryServiceDetachRepositoryProcedure:    admin,
	keepwardv1connect.RepositoryServiceTakeOverRepositoryProcedure:  admin,
	keepwardv1connect.RepositoryServiceRebuildCatalogProcedure:      admin,
	keepwardv1connect.RepositoryServiceCheckRepositoryProcedure:     admin,
	keepwardv1connect.RepositoryServiceRebuildIndexProcedure:        admin,
	keepwardv1connect.RepositoryServiceSweepRepositoryProcedure:     admin,
	keepwardv1connect.RepositoryServiceReconcileRepositoryProcedure: admin,
	keepwardv1connect.RepositoryServiceExportRecoveryKeyProcedure:   admin,
	keepwardv1connect.JobServiceCreateJobProcedure:                  admin,
	keepwardv1connect.JobServiceListJobsProcedure:                   admin,
	keepwardv1connect.JobServiceGetJobProcedure:                     admin,
	keepwardv1connect.JobServiceUpdateJobProcedure:                  admin,
	keepwardv1connect.JobServiceDeleteJobProcedure:                  admin,
	keepwardv1connect.JobServiceRunJobProcedure:                     admin,
	keepwardv1connect.JobServicePreviewRetentionProcedure:           admin,
	keepwardv1connect.JobServiceResumeRetentionProcedure:            admin,
	keepwardv1connect.JobServiceGetJobFiguresProcedure:              admin,
	keepwardv1connect.JobServiceDryRunProcedure:                     admin,
	keepwardv1connect.SessionServiceListSessionsProcedure:           admin,
	keepwardv1connect.SessionServiceWatchSessionsProcedure:          admin,
	keepwardv1connect.SessionServiceGetSessionProcedure:             admin,
	keepwardv1connect.SessionServiceWatchSessionProcedure:           admin,
	keepwardv1connect.SessionServiceReadLogProcedure:                admin,
	keepwardv1connect.SessionServiceKillSessionProcedure:            admin,
	keepwardv1connect.SessionServiceRetrySessionProcedure:           admin,
	keepwardv1connect.SessionServiceSuspendSessionProcedure:         admin,
	keepwardv1connect.SessionServiceResumeSessionProcedure:          admin,
	keepwardv1connect.SessionServiceSetSessionPriorityProcedure:     admin,
	keepwardv1connect.SessionServiceListResourcesProcedure:          admin,
	keepwardv1connect.PointServiceListPointsProcedure:               admin,
	keepwardv1connect.PointServiceGetPointProcedure:                 admin,
	keepwardv1connect.PointServiceBrowseProcedure:                   admin,
	keepwardv1connect.PointServiceFindProcedure:                     admin,
	keepwardv1connect.PointServiceDiffProcedure:                     admin,
	keepwardv1connect.PointServiceGetPointKeysProcedure:             admin,
	keepwardv1connect.PointServiceReadRecordsProcedure:              admin,
	keepwardv1connect.PointServiceDeletePointsProcedure:             admin,
	keepwardv1connect.PointServiceUndeletePointsProcedure:           admin,
	keepwardv1connect.PointServiceHoldPointsProcedure:               admin,
	keepwardv1connect.PointServiceReleasePointsProcedure:            admin,
	keepwardv1connect.RestoreServiceRestoreFilesProcedure:           admin,
	keepwardv1connect.ConfigServiceApplyProcedure:                   admin,
	keepwardv1connect.ConfigServiceExportProcedure:                  admin,

	keepwardv1connect.CredentialServiceSaveCredentialProcedure:   admin,
	keepwardv1connect.CredentialServiceListCredentialsProcedure:  admin,
	keepwardv1connect.CredentialServiceDeleteCredentialProcedure: admin,

	keepwardv1connect.SettingsServiceListSettingsProcedure: admin,
	keepwardv1connect.SettingsServiceSetSettingProcedure:   admin,
	keepwardv1connect.SettingsServiceResetSettingProcedure: admin,
	keepwardv1connect.QueueServiceListWindowsProcedure:     admin,
	keepwardv1connect.QueueServiceSaveWindowProcedure:      admin,
	keepwardv1connect.QueueServiceDeleteWindowProcedure:    admin,
	keepwardv1connect.QueueServiceListActivitiesProcedure:  admin,
	keepwardv1connect.QueueServiceSetActivityProcedure:     admin,
	keepwardv1connect.QueueServiceListLimitsProcedure:      admin,
	keepwardv1connect.QueueServiceSetLimitProcedure:        admin,
	keepwardv1connect.QueueServiceListPrioritiesProcedure:  admin,
	keepwardv1connect.QueueServiceSetPriorityProcedure:     admin,
	keepwardv1connect.QueueServicePauseServerProcedure:     admin,
	keepwardv1connect.QueueServiceResumeServerProcedure:    admin,

	keepwardv1connect.GroupServiceCreateGroupProcedure:         admin,
	keepwardv1connect.GroupServiceListGroupsProcedure:          admin,
	keepwardv1connect.GroupServiceGetGroupProcedure:            admin,
	keepwardv1connect.GroupServiceUpdateGroupProcedure:         admin,
	keepwardv1connect.GroupServiceDeleteGroupProcedure:         admin,
	keepwardv1connect.GroupServiceRescanGroupsProcedure:        admin,
	keepwardv1connect.GroupServiceSetTagsProcedure:             admin,
	keepwardv1connect.TrafficServiceListTrafficRulesProcedure:  admin,
	keepwardv1connect.TrafficServiceSaveTrafficRuleProcedure:   admin,
	keepwardv1connect.TrafficServiceDeleteTrafficRuleProcedure: admin,

	keepwardv1connect.UpdateServiceUploadPackageProcedure:   admin,
	keepwardv1connect.UpdateServiceListPackagesProcedure:    admin,
	keepwardv1connect.UpdateServiceRemovePackageProcedure:   admin,
	keepwardv1connect.UpdateServiceUpdateComputersProcedure: admin,
	keepwardv1connect.UpdateServiceListRolloutsProcedure:    admin,
	keepwardv1connect.UpdateServiceGetRolloutProcedure:      admin,
	keepwardv1connect.UpdateServiceStopRolloutProcedure:     admin,
	keepwardv1connect.PackageServiceReadPackageProcedure:    node,

	keepwardv1connect.EnrolServiceJoinProcedure:          open,
	keepwardv1connect.NodeServiceHeartbeatProcedure:      node,
	keepwardv1connect.NodeServiceReportProgressProcedure: node,
	keepwardv1connect.NodeServiceReportEventsProcedure:   node,
	keepwardv1connect.NodeServiceReportEndProcedure:      node,
}

type userKey struct{}

// userOf is the name of the user whose call ctx belongs to.
func userOf(ctx context.Context) string {
	name, _ := ctx.Value(userKey{}).(string)
	return name
}

// guard lets a call in or refuses it. Every refusal is logged with
// who asked, from where, and why.
type guard struct {
	db  *catalog.DB
	log *slog.Logger
}

func (g *guard) admit(ctx context.Context, method, addr, authorization string) (context.Context, error) {
	ctx, err := g.check(ctx, method, authorization)
	if err != nil {
		if peer, ok := wire.Peer(ctx); ok {
			addr = peer.Address
		}
		g.log.Warn("call refused", "method", method, "peer", addr, "reason", err)
	}
	return ctx, err
}

func (g *guard) check(ctx context.Context, method, authorization string) (context.Context, error) {
	switch methods[method] {
	case open:
		return ctx, nil
	case node:
		return ctx, g.checkNode(ctx)
	case admin:
		return g.checkUser(ctx, authorization)
	}
	return ctx, errs.New(errs.Denied, "access.unlisted", "call %s: nobody may", method)
}

// checkNode looks at every call, not only at the link's start: a revocation counts at once.
func (g *guard) checkNode(ctx context.Context) error {
	peer, ok := wire.Peer(ctx)
	if !ok {
		return errs.New(errs.Denied, "access.link", "call: nodes call over their link")
	}
	return checkCertificate(ctx, g.db, peer)
}

func (g *guard) checkUser(ctx context.Context, authorization string) (context.Context, error) {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || token == "" {
		return ctx, errs.New(errs.Denied, "access.token-missing", "call: a token is needed").
			WithHint("log in with: keepward login HOST:PORT")
	}
	u, ok, err := catalog.UserOfToken(ctx, g.db.Read(), token, time.Now())
	if err != nil {
		return ctx, err
	}
	if !ok {
		return ctx, errs.New(errs.Denied, "access.token-unknown", "call: the token is not known here, or has expired").
			WithHint("log in again with: keepward login HOST:PORT")
	}
	if u.Role != roleAdmin {
		return ctx, errs.New(errs.Denied, "access.role", "call: user %s may not (role %s)", u.Name, u.Role)
	}
	return context.WithValue(ctx, userKey{}, u.Name), nil
}

const hintRejoin = "to let it in again, make a token with 'keepward token create --role %s --name %s', and start it with --join TOKEN"

// checkCertificate tells whether a node's certificate is one of ours that still lets in.
func checkCertificate(ctx context.Context, db *catalog.DB, id wire.Identity) error {
	c, ok, err := catalog.CertificateBySerial(ctx, db.Read(), id.Serial)
	if err != nil {
		return err
	}
	switch {
	case !ok:
		return errs.New(errs.Denied, "certificate.unknown", "admit %s: its certificate %s is not known here", id, id.Serial).
			WithHint(hintRejoin, id.Role, id.Name)
	case c.Role != string(id.Role) || c.Name != id.Name:
		return errs.New(errs.Denied, "certificate.name", "admit %s: its certificate %s is that of %s %s", id, id.Serial, c.Role, c.Name)
	case !c.Revoked.IsZero():
		return errs.New(errs.Denied, "certificate.revoked", "admit %s: its certificate was revoked on %s: %s", id, c.Revoked.Format(time.RFC3339), c.Reason).
			WithHint(hintRejoin, id.Role, id.Name)
	}
	return nil
}
