package server

import (
	"context"
	"database/sql"
	"log/slog"
	"slices"
	"strings"
	"time"

	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// access is who may call a method: bits, of which each role of a user is one.
type access int

const (
	// open is for everybody: the call brings its own proof.
	open access = 1 << iota
	// node is for agents and transports, over their links.
	node

	viewer
	operator
	restorer
	admin

	operators = operator | admin
	restorers = restorer | admin
	// users is for whoever has a token.
	users = viewer | operator | restorer | admin
)

// audited is how a call comes into the audit log; see audit.go. There is no zero: a call must say.
type audited int

const (
	// silent calls change nothing and give out no backup data. Only their refusals are rows.
	silent audited = iota + 1
	// each call is written down before it begins, and again with its outcome.
	each
	// folded is for calls that read backup data, piece by piece: as each, but the same caller is
	// written down once in a while for the same thing.
	folded
	// itself is for calls that anybody may make: they write their row in the transaction of their
	// change. A refused one is written behind it.
	itself
)

// harm is whether a stolen login must not be enough for a call; see confirm.go. There is no zero: a call
// must say.
type harm int

const (
	harmless harm = iota + 1
	// harmful calls take away for good what is protected or what protects it, give out what opens it, have
	// programs run on other computers, or make a way in that lasts.
	harmful
)

// rule is the row of a method.
type rule struct {
	may   access
	audit audited
	scope scope
	harm  harm
}

// methods says who may call what, and how it is written down. What is not here is refused to all.
// docs/reference/roles.md prints it.
var methods = map[string]rule{
	keepwardv1connect.AccessServiceLoginProcedure:                   {open, itself, ofCaller, harmless},
	keepwardv1connect.AccessServiceConfirmLoginProcedure:            {users, each, ofCaller, harmless},
	keepwardv1connect.AccessServiceCreateTokenProcedure:             {admin, each, site, harmful},
	keepwardv1connect.AccessServiceListTokensProcedure:              {users, silent, site, harmless},
	keepwardv1connect.AccessServiceRevokeTokenProcedure:             {admin, each, site, harmless},
	keepwardv1connect.StatusServiceGetStatusProcedure:               {users, silent, listed, harmless},
	keepwardv1connect.StatusServiceListHoursProcedure:               {users, silent, listed, harmless},
	keepwardv1connect.ComputerServiceListComputersProcedure:         {users, silent, listed, harmless},
	keepwardv1connect.ComputerServiceGetComputerProcedure:           {users, silent, ofComputer, harmless},
	keepwardv1connect.ComputerServiceRemoveComputerProcedure:        {admin, each, site, harmful},
	keepwardv1connect.ConnectionServiceAddComputerProcedure:         {admin, each, site, harmless},
	keepwardv1connect.ConnectionServiceEditComputerProcedure:        {admin, each, site, harmless},
	keepwardv1connect.ConnectionServiceTestConnectionProcedure:      {operators, each, site, harmless},
	keepwardv1connect.RepositoryServiceCreateRepositoryProcedure:    {admin, each, site, harmless},
	keepwardv1connect.RepositoryServiceListRepositoriesProcedure:    {users, silent, site, harmless},
	keepwardv1connect.RepositoryServiceGetRepositoryProcedure:       {users, silent, site, harmless},
	keepwardv1connect.RepositoryServiceEditRepositoryProcedure:      {admin, each, site, harmful},
	keepwardv1connect.RepositoryServiceGetRepositoryStatsProcedure:  {users, silent, site, harmless},
	keepwardv1connect.RepositoryServiceListRepositoryDaysProcedure:  {users, silent, site, harmless},
	keepwardv1connect.RepositoryServiceListRepositoryKeysProcedure:  {admin, silent, site, harmless},
	keepwardv1connect.RepositoryServiceAddRepositoryKeyProcedure:    {admin, each, site, harmful},
	keepwardv1connect.RepositoryServiceRemoveRepositoryKeyProcedure: {admin, each, site, harmful},
	keepwardv1connect.RepositoryServiceBeginEpochProcedure:          {admin, each, site, harmful},
	keepwardv1connect.RepositoryServiceAttachRepositoryProcedure:    {admin, each, site, harmless},
	keepwardv1connect.RepositoryServiceDetachRepositoryProcedure:    {admin, each, site, harmful},
	keepwardv1connect.RepositoryServiceTakeOverRepositoryProcedure:  {admin, each, site, harmful},
	keepwardv1connect.RepositoryServiceRebuildCatalogProcedure:      {admin, each, site, harmless},
	keepwardv1connect.RepositoryServiceCheckRepositoryProcedure:     {operators, each, site, harmless},
	keepwardv1connect.RepositoryServiceRebuildIndexProcedure:        {operators, each, site, harmless},
	keepwardv1connect.RepositoryServiceSweepRepositoryProcedure:     {operators, each, site, harmless},
	keepwardv1connect.RepositoryServiceReconcileRepositoryProcedure: {operators, each, site, harmless},
	keepwardv1connect.RepositoryServiceExportRecoveryKeyProcedure:   {admin, each, site, harmful},
	keepwardv1connect.JobServiceCreateJobProcedure:                  {admin, each, site, harmful},
	keepwardv1connect.JobServiceListJobsProcedure:                   {users, silent, listed, harmless},
	keepwardv1connect.JobServiceGetJobProcedure:                     {users, silent, ofJob, harmless},
	keepwardv1connect.JobServiceUpdateJobProcedure:                  {admin, each, site, harmful},
	keepwardv1connect.JobServiceDeleteJobProcedure:                  {admin, each, site, harmful},
	keepwardv1connect.JobServiceRunJobProcedure:                     {operators, each, ofJob, harmless},
	keepwardv1connect.JobServicePreviewRetentionProcedure:           {users, silent, ofJob, harmless},
	keepwardv1connect.JobServiceResumeRetentionProcedure:            {admin, each, site, harmful},
	keepwardv1connect.JobServiceGetJobFiguresProcedure:              {users, silent, ofJob, harmless},
	keepwardv1connect.JobServiceDryRunProcedure:                     {operators, each, site, harmless},
	keepwardv1connect.JobPreviewServicePreviewJobProcedure:          {users, silent, site, harmless},
	keepwardv1connect.ProtectionServiceListProtectionDaysProcedure:  {users, silent, listed, harmless},
	keepwardv1connect.SessionServiceListSessionsProcedure:           {users, silent, listed, harmless},
	keepwardv1connect.SessionServiceWatchSessionsProcedure:          {users, silent, listed, harmless},
	keepwardv1connect.SessionServiceGetSessionProcedure:             {users, silent, ofSession, harmless},
	keepwardv1connect.SessionServiceWatchSessionProcedure:           {users, silent, ofSession, harmless},
	keepwardv1connect.SessionServiceReadLogProcedure:                {users, silent, ofSession, harmless},
	keepwardv1connect.SessionServiceKillSessionProcedure:            {operators, each, ofSession, harmless},
	keepwardv1connect.SessionServiceRetrySessionProcedure:           {operators, each, ofSession, harmless},
	keepwardv1connect.SessionServiceSuspendSessionProcedure:         {operators, each, ofSession, harmless},
	keepwardv1connect.SessionServiceResumeSessionProcedure:          {operators, each, ofSession, harmless},
	keepwardv1connect.SessionServiceSetSessionPriorityProcedure:     {operators, each, ofSession, harmless},
	keepwardv1connect.SessionServiceListResourcesProcedure:          {users, silent, site, harmless},
	keepwardv1connect.SessionDetailServiceGetSessionSpeedProcedure:  {users, silent, ofSession, harmless},
	keepwardv1connect.SessionDetailServiceReadLogPageProcedure:      {users, silent, ofSession, harmless},
	keepwardv1connect.SessionDetailServiceListFileErrorsProcedure:   {users, silent, ofSession, harmless},
	keepwardv1connect.SessionDetailServiceListScriptsProcedure:      {users, silent, ofSession, harmless},
	keepwardv1connect.SessionDetailServiceListTransitionsProcedure:  {users, silent, ofSession, harmless},
	keepwardv1connect.PointServiceListPointsProcedure:               {users, silent, listed, harmless},
	keepwardv1connect.PointServiceGetPointProcedure:                 {users, silent, ofPoint, harmless},
	keepwardv1connect.PointServiceBrowseProcedure:                   {restorers, folded, ofPoint, harmless},
	keepwardv1connect.PointServiceFindProcedure:                     {restorers, folded, listed, harmless},
	keepwardv1connect.PointServiceDiffProcedure:                     {restorers, folded, ofPoint, harmless},
	keepwardv1connect.PointServiceGetPointKeysProcedure:             {restorers, folded, ofPoint, harmless},
	keepwardv1connect.PointServiceReadRecordsProcedure:              {restorers, folded, ofPoint, harmless},
	keepwardv1connect.ContentServiceOpenContentProcedure:            {restorers, each, ofPoint, harmless},
	keepwardv1connect.PointServiceDeletePointsProcedure:             {admin, each, site, harmful},
	keepwardv1connect.PointServiceUndeletePointsProcedure:           {admin, each, site, harmless},
	keepwardv1connect.PointServiceHoldPointsProcedure:               {admin, each, site, harmless},
	keepwardv1connect.PointServiceReleasePointsProcedure:            {admin, each, site, harmful},
	keepwardv1connect.RestoreServiceRestoreFilesProcedure:           {restorers, each, ofPoint, harmless},
	keepwardv1connect.ConfigServiceApplyProcedure:                   {admin, each, site, harmful},
	keepwardv1connect.ConfigServiceExportProcedure:                  {users, silent, site, harmless},

	keepwardv1connect.CredentialServiceSaveCredentialProcedure:   {admin, each, site, harmless},
	keepwardv1connect.CredentialServiceListCredentialsProcedure:  {users, silent, site, harmless},
	keepwardv1connect.CredentialServiceDeleteCredentialProcedure: {admin, each, site, harmful},

	keepwardv1connect.SettingsServiceListSettingsProcedure:     {users, silent, site, harmless},
	keepwardv1connect.SettingsServiceSetSettingProcedure:       {admin, each, site, harmful},
	keepwardv1connect.SettingsServiceResetSettingProcedure:     {admin, each, site, harmful},
	keepwardv1connect.QueueServiceListWindowsProcedure:         {users, silent, site, harmless},
	keepwardv1connect.QueueServiceSaveWindowProcedure:          {admin, each, site, harmless},
	keepwardv1connect.QueueServiceDeleteWindowProcedure:        {admin, each, site, harmless},
	keepwardv1connect.QueueServiceListActivitiesProcedure:      {users, silent, site, harmless},
	keepwardv1connect.QueueServiceSetActivityProcedure:         {admin, each, site, harmless},
	keepwardv1connect.QueueServiceListLimitsProcedure:          {users, silent, site, harmless},
	keepwardv1connect.QueueServiceSetLimitProcedure:            {admin, each, site, harmless},
	keepwardv1connect.QueueServiceListPrioritiesProcedure:      {users, silent, site, harmless},
	keepwardv1connect.QueueServiceSetPriorityProcedure:         {admin, each, site, harmless},
	keepwardv1connect.QueueServicePauseServerProcedure:         {operators, each, site, harmless},
	keepwardv1connect.QueueServiceResumeServerProcedure:        {operators, each, site, harmless},
	keepwardv1connect.NotifyServiceSaveNotifyTargetProcedure:   {admin, each, site, harmless},
	keepwardv1connect.NotifyServiceListNotifyTargetsProcedure:  {admin, silent, site, harmless},
	keepwardv1connect.NotifyServiceDeleteNotifyTargetProcedure: {admin, each, site, harmless},
	keepwardv1connect.NotifyServiceTestNotifyTargetProcedure:   {admin, each, site, harmless},
	keepwardv1connect.NotifyServiceSaveNotifyRuleProcedure:     {admin, each, site, harmless},
	keepwardv1connect.NotifyServiceListNotifyRulesProcedure:    {users, silent, site, harmless},
	keepwardv1connect.NotifyServiceDeleteNotifyRuleProcedure:   {admin, each, site, harmless},
	keepwardv1connect.NotifyServiceSaveReportProcedure:         {admin, each, site, harmless},
	keepwardv1connect.NotifyServiceListReportsProcedure:        {users, silent, site, harmless},
	keepwardv1connect.NotifyServiceDeleteReportProcedure:       {admin, each, site, harmless},
	keepwardv1connect.NotifyServicePreviewReportProcedure:      {users, silent, site, harmless},
	keepwardv1connect.NotifyServiceSendReportProcedure:         {admin, each, site, harmless},
	keepwardv1connect.NotifyServiceListNotificationsProcedure:  {operators, silent, site, harmless},

	keepwardv1connect.GroupServiceCreateGroupProcedure:         {admin, each, site, harmless},
	keepwardv1connect.GroupServiceListGroupsProcedure:          {users, silent, site, harmless},
	keepwardv1connect.GroupServiceGetGroupProcedure:            {users, silent, site, harmless},
	keepwardv1connect.GroupServiceUpdateGroupProcedure:         {admin, each, site, harmful},
	keepwardv1connect.GroupServiceDeleteGroupProcedure:         {admin, each, site, harmful},
	keepwardv1connect.GroupServiceRescanGroupsProcedure:        {operators, each, site, harmless},
	keepwardv1connect.GroupServiceSetTagsProcedure:             {admin, each, site, harmless},
	keepwardv1connect.TrafficServiceListTrafficRulesProcedure:  {users, silent, site, harmless},
	keepwardv1connect.TrafficServiceSaveTrafficRuleProcedure:   {admin, each, site, harmless},
	keepwardv1connect.TrafficServiceDeleteTrafficRuleProcedure: {admin, each, site, harmless},

	keepwardv1connect.UpdateServiceUploadPackageProcedure:   {admin, each, site, harmful},
	keepwardv1connect.UpdateServiceListPackagesProcedure:    {users, silent, site, harmless},
	keepwardv1connect.UpdateServiceRemovePackageProcedure:   {admin, each, site, harmless},
	keepwardv1connect.UpdateServiceUpdateComputersProcedure: {admin, each, site, harmful},
	keepwardv1connect.UpdateServiceListRolloutsProcedure:    {users, silent, site, harmless},
	keepwardv1connect.UpdateServiceGetRolloutProcedure:      {users, silent, site, harmless},
	keepwardv1connect.UpdateServiceStopRolloutProcedure:     {admin, each, site, harmless},
	keepwardv1connect.PackageServiceReadPackageProcedure:    {node, silent, ofCaller, harmless},

	keepwardv1connect.UserServiceCreateUserProcedure:                 {admin, each, site, harmful},
	keepwardv1connect.UserServiceListUsersProcedure:                  {admin, silent, site, harmless},
	keepwardv1connect.UserServiceEditUserProcedure:                   {admin, each, site, harmful},
	keepwardv1connect.UserServiceRemoveUserProcedure:                 {admin, each, site, harmful},
	keepwardv1connect.UserServiceSetPasswordProcedure:                {users, each, ofCaller, harmless},
	keepwardv1connect.UserServiceGetCallerProcedure:                  {users, silent, ofCaller, harmless},
	keepwardv1connect.PasskeyServiceListPasskeysProcedure:            {users, silent, ofCaller, harmless},
	keepwardv1connect.PasskeyServiceBeginPasskeyProcedure:            {users, each, ofCaller, harmless},
	keepwardv1connect.PasskeyServiceAddPasskeyProcedure:              {users, each, ofCaller, harmless},
	keepwardv1connect.PasskeyServiceRemovePasskeyProcedure:           {users, each, ofCaller, harmless},
	keepwardv1connect.PasskeyServiceGetPasskeyChallengeProcedure:     {open, silent, ofCaller, harmless},
	keepwardv1connect.PasskeyServiceLoginByPasskeyProcedure:          {open, itself, ofCaller, harmless},
	keepwardv1connect.SignOnServiceGetSignOnProviderProcedure:        {admin, silent, site, harmless},
	keepwardv1connect.SignOnServiceSetSignOnProviderProcedure:        {admin, each, site, harmful},
	keepwardv1connect.SignOnServiceRemoveSignOnProviderProcedure:     {admin, each, site, harmless},
	keepwardv1connect.SignOnServiceTestSignOnProviderProcedure:       {admin, each, site, harmless},
	keepwardv1connect.SignOnServiceGetSignOnProcedure:                {open, silent, ofCaller, harmless},
	keepwardv1connect.SignOnServiceGetSignOnURLProcedure:             {open, silent, ofCaller, harmless},
	keepwardv1connect.SignOnServiceFinishSignOnProcedure:             {open, itself, ofCaller, harmless},
	keepwardv1connect.SignOnServiceListSignOnsProcedure:              {users, silent, ofCaller, harmless},
	keepwardv1connect.SignOnServiceConnectSignOnProcedure:            {users, each, ofCaller, harmless},
	keepwardv1connect.SignOnServiceDisconnectSignOnProcedure:         {users, each, ofCaller, harmless},
	keepwardv1connect.OneTimeCodeServiceGetOneTimeCodesProcedure:     {users, silent, ofCaller, harmless},
	keepwardv1connect.OneTimeCodeServiceEnrolOneTimeCodesProcedure:   {users, each, ofCaller, harmless},
	keepwardv1connect.OneTimeCodeServiceConfirmOneTimeCodesProcedure: {users, each, ofCaller, harmless},
	keepwardv1connect.OneTimeCodeServiceRenewRecoveryCodesProcedure:  {users, each, ofCaller, harmless},
	keepwardv1connect.OneTimeCodeServiceRemoveOneTimeCodesProcedure:  {users, each, ofCaller, harmless},
	keepwardv1connect.APITokenServiceCreateAPITokenProcedure:         {users, each, ofCaller, harmful},
	keepwardv1connect.APITokenServiceListAPITokensProcedure:          {users, silent, ofCaller, harmless},
	keepwardv1connect.APITokenServiceRevokeAPITokenProcedure:         {users, each, ofCaller, harmless},
	keepwardv1connect.ApprovalServiceListApprovalsProcedure:          {admin, silent, site, harmless},
	keepwardv1connect.ApprovalServiceGetApprovalProcedure:            {admin, silent, site, harmless},
	keepwardv1connect.ApprovalServiceGrantApprovalProcedure:          {admin, each, site, harmful},
	keepwardv1connect.ApprovalServiceRefuseApprovalProcedure:         {admin, each, site, harmless},
	keepwardv1connect.AuditServiceListAuditProcedure:                 {admin, silent, site, harmless},
	keepwardv1connect.AuditServiceReadAuditProcedure:                 {admin, silent, site, harmless},

	keepwardv1connect.EnrolServiceJoinProcedure:          {open, itself, ofCaller, harmless},
	keepwardv1connect.NodeServiceHeartbeatProcedure:      {node, silent, ofCaller, harmless},
	keepwardv1connect.NodeServiceReportProgressProcedure: {node, silent, ofCaller, harmless},
	keepwardv1connect.NodeServiceReportEventsProcedure:   {node, silent, ofCaller, harmless},
	keepwardv1connect.NodeServiceReportEndProcedure:      {node, silent, ofCaller, harmless},
}

// limited tells whether c is for some computers only.
func (c caller) limited() bool { return len(c.user.Groups) > 0 || len(c.token.Groups) > 0 }

// administers tells whether c rules over others: an administrator of some computers does not.
func (c caller) administers() bool { return c.may(admin) && !c.limited() }

// caller is the user who calls, and the token that was shown.
type caller struct {
	user  catalog.User
	token catalog.APIToken
	shown string // as the call brought it
}

type callerKey struct{}

// callerOf is the user whose call ctx belongs to.
func callerOf(ctx context.Context) (caller, bool) {
	c, ok := ctx.Value(callerKey{}).(caller)
	return c, ok
}

// accessTo is who may call a method, or ask for a page.
func accessTo(path string) access {
	if c, ok := methods[path]; ok {
		return c.may
	}
	return pages[path]
}

// userOf is the name of the user whose call ctx belongs to.
func userOf(ctx context.Context) string {
	c, _ := callerOf(ctx)
	return c.user.Name
}

// may tells whether the user may, and the token too.
func (c caller) may(a access) bool {
	return a&roleOf(c.user.Role) != 0 && (c.token.Role == "" || a&roleOf(c.token.Role) != 0)
}

// role is what c acts as: what user and token both may.
func (c caller) role() string {
	switch {
	case c.token.Role == "" || within(c.user.Role, c.token.Role):
		return c.user.Role
	case within(c.token.Role, c.user.Role):
		return c.token.Role
	}
	return roles[0].name // what every two roles have in common
}

// guard lets a call in or refuses it. Every refusal is logged with
// who asked, from where, and why.
type guard struct {
	db      *catalog.DB
	log     *slog.Logger
	audits  *auditor
	streams *streams
	scopes  *scoper
	// confirmed is for how long a login is trusted with what is harmful.
	confirmed func(ctx context.Context) (time.Duration, error)
}

func newGuard(db *catalog.DB, log *slog.Logger, confirmed func(ctx context.Context) (time.Duration, error)) *guard {
	g := &guard{db: db, log: log, audits: newAuditor(db, log, time.Now), confirmed: confirmed}
	g.scopes = &scoper{db: db, log: log, audits: g.audits, now: time.Now}
	g.streams = &streams{check: g.again, open: map[*openStream]bool{}}
	return g
}

func (g *guard) admit(ctx context.Context, method, addr, authorization string) (context.Context, error) {
	ctx, err := g.check(ctx, method, authorization)
	if err == nil && methods[method].harm == harmful {
		err = g.recently(ctx, "call "+callName(method))
	}
	if err == nil {
		return ctx, nil
	}
	peer, isNode := wire.Peer(ctx)
	if isNode {
		addr = peer.Address
	}
	g.log.Warn("call refused", "method", method, "peer", addr, "reason", err)
	if !isNode { // nodes have no rows: what they do is in the events of sessions
		g.audits.refused(ctx, g.audits.row(ctx, method, addr), err)
	}
	return ctx, err
}

func (g *guard) check(ctx context.Context, method, authorization string) (context.Context, error) {
	switch may := accessTo(method); {
	case may == 0:
		return ctx, errs.New(errs.Denied, "access.unlisted", "call %s: nobody may", method)
	case may == open:
		return ctx, nil
	case may == node:
		return ctx, g.checkNode(ctx)
	default:
		c, err := g.callerBy(ctx, authorization)
		if err != nil {
			return ctx, err
		}
		ctx = context.WithValue(ctx, callerKey{}, c) // a refusal is written down with who it was
		if !c.may(may) {
			return ctx, errs.New(errs.Denied, "access.role", "call %s: user %s may not (role %s)", callName(method), c.user.Name, c.role()).
				WithHint("this is for: %s", strings.Join(roleNames(may), ", "))
		}
		if how := methods[method].scope; c.limited() && (how == 0 || how == site) { // a page that is no call has none
			return ctx, errs.New(errs.Denied, "access.scope", "call %s: user %s is for some computers only, and this is about the whole site", callName(method), c.user.Name)
		}
		g.used(ctx, c)
		return ctx, nil
	}
}

// again tells whether a call that was let in would be let in now.
func (g *guard) again(ctx context.Context, method string, c caller) error {
	ctx, err := g.check(ctx, method, "Bearer "+c.shown)
	if err != nil {
		return err
	}
	if now, ok := callerOf(ctx); ok && (!slices.Equal(now.user.Groups, c.user.Groups) || !slices.Equal(now.token.Groups, c.token.Groups)) {
		return errs.New(errs.Denied, "access.scope-changed", "call %s: user %s is for other computers now", callName(method), c.user.Name)
	}
	return nil
}

// checkNode looks at every call, not only at the link's start: a revocation counts at once.
func (g *guard) checkNode(ctx context.Context) error {
	peer, ok := wire.Peer(ctx)
	if !ok {
		return errs.New(errs.Denied, "access.link", "call: nodes call over their link")
	}
	return checkCertificate(ctx, g.db, peer)
}

// callerBy looks at every call, too: a role that was changed, or a token that was ended, counts at
// once.
func (g *guard) callerBy(ctx context.Context, authorization string) (caller, error) {
	if by, ok := ctx.Value(grantKey{}).(grant); ok {
		return g.asker(ctx, by.approval)
	}
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || token == "" {
		return caller{}, errs.New(errs.Denied, "access.token-missing", "call: a token is needed").
			WithHint("log in with: keepward login HOST:PORT")
	}
	c := caller{shown: token}
	var err error
	c.user, c.token, ok, err = catalog.CallerOf(ctx, g.db.Read(), token, time.Now())
	if err != nil {
		return caller{}, err
	}
	if !ok {
		return caller{}, errs.New(errs.Denied, "access.token-unknown", "call: the token is not known here, or has expired").
			WithHint("log in again with: keepward login HOST:PORT")
	}
	return c, nil
}

// asker is who asked for a call that was approved, as he is now.
func (g *guard) asker(ctx context.Context, a catalog.Approval) (caller, error) {
	u, ok, err := catalog.UserByName(ctx, g.db.Read(), a.User)
	if err == nil && (!ok || u.ID != a.UserID || !u.Created.Equal(a.UserSince)) {
		err = errs.New(errs.Denied, "approval.asker", "make what approval %d is about: user %s, who asked for it, is gone", a.ID, a.User)
	}
	return caller{user: u}, err
}

const (
	// usedEvery is how exact the last use of a token is kept: a write for each call would be dear.
	usedEvery = time.Hour
	// usedWithin bounds how long a call waits for that.
	usedWithin = time.Second
)

// used notes that a token was used. A call does not fail for it.
func (g *guard) used(ctx context.Context, c caller) {
	now := time.Now()
	if c.shown == "" || now.Sub(c.token.Used) < usedEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, usedWithin)
	defer cancel()
	err := g.db.Write(ctx, func(tx *sql.Tx) error { return catalog.UseToken(ctx, tx, c.shown, now) })
	if err != nil {
		g.log.Debug("last use of a token not written", "token", c.token.ID, "reason", err)
	}
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
