package schema

import (
	"encoding/base64"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// bodies are requests of the reference that common names cannot make, by service and call.
var bodies = map[string]string{
	"APITokenService/CreateAPIToken":        `{"name": "portal", "role": "viewer", "ttl": "2592000s"}`,
	"APITokenService/ListAPITokens":         `{"all": true, "kind": "token"}`,
	"APITokenService/RevokeAPIToken":        `{"id": "5f1c2d3e"}`,
	"AccessService/CreateToken":             `{"role": "agent", "name": "web1", "ttl": "3600s"}`,
	"AccessService/Login":                   `{"user": "ann", "password": "…"}`,
	"AccessService/RevokeToken":             `{"id": "5f1c2d3e"}`,
	"AuditService/ListAudit":                `{"call": "DeleteJob", "since": "2026-11-01T00:00:00Z", "limit": 50}`,
	"AuditService/ReadAudit":                `{"after": 0, "limit": 100}`,
	"ComputerService/ListComputers":         `{"text": "web", "limit": 100}`,
	"ConfigService/Apply":                   `{"files": [{"name": "site.yaml", "content": "` + base64.StdEncoding.EncodeToString([]byte("kind: tags\ncomputer: web1\ntags: [web]\n")) + `"}], "dryRun": true}`,
	"ConnectionService/AddComputer":         `{"name": "web2", "connection": {"addresses": ["192.0.2.7"]}}`,
	"ConnectionService/EditComputer":        `{"name": "web2", "addresses": ["192.0.2.8"], "setAddresses": true}`,
	"ContentService/OpenContent":            `{"point": "latest", "computer": "web1", "path": "` + path("/srv/docs/a.txt") + `", "kind": "download"}`,
	"CredentialService/SaveCredential":      `{"credential": {"name": "pg", "user": "backup"}, "secret": "…"}`,
	"CredentialService/DeleteCredential":    `{"name": "pg"}`,
	"EnrolService/Join":                     `{"token": "…", "csr": "MIIB", "role": "agent", "name": "web1"}`,
	"GroupService/CreateGroup":              `{"group": {"name": "web", "patterns": ["web*"], "exclude": ["web9"]}}`,
	"GroupService/UpdateGroup":              `{"group": {"name": "web", "patterns": ["web*"]}}`,
	"GroupService/RescanGroups":             `{"names": ["web"]}`,
	"GroupService/SetTags":                  `{"computer": "web1", "tags": ["web", "paris"]}`,
	"JobPreviewService/PreviewJob":          `{"job": ` + aJob + `, "nextRuns": 3}`,
	"JobService/CreateJob":                  `{"job": ` + aJob + `}`,
	"JobService/UpdateJob":                  `{"job": ` + aJob + `}`,
	"JobService/GetJob":                     `{"name": "docs", "nextRuns": 3}`,
	"JobService/GetJobFigures":              `{"name": "docs", "runs": 10}`,
	"JobService/DryRun":                     `{"name": "docs", "computers": ["web1"]}`,
	"JobService/PreviewRetention":           `{"job": "docs", "retention": {"keepDays": 14, "weekly": 8}}`,
	"JobService/RunJob":                     `{"name": "docs"}`,
	"NotifyService/SaveNotifyRule":          `{"rule": {"name": "failures", "targets": ["ops"], "events": ["session.failed"]}}`,
	"NotifyService/DeleteNotifyRule":        `{"name": "failures"}`,
	"NotifyService/SaveNotifyTarget":        `{"target": {"name": "ops", "webhook": {"url": "https://ops.example/hook"}}, "secret": "…"}`,
	"NotifyService/ListNotifications":       `{"target": "ops", "limit": 20}`,
	"PointService/Browse":                   `{"point": "latest", "computer": "web1", "path": "` + path("/srv/docs") + `", "limit": 100}`,
	"PointService/Diff":                     `{"a": "3fa1c2d4", "b": "9b07aa51"}`,
	"PointService/Find":                     `{"glob": "*.conf", "computer": "web1"}`,
	"PointService/GetPointKeys":             `{"computer": "web1", "repository": "main"}`,
	"PointService/GetPoint":                 `{"name": "latest", "computer": "web1"}`,
	"PointService/DeletePoints":             `{"names": ["3fa1c2d4"], "reason": "made by mistake"}`,
	"PointService/UndeletePoints":           `{"names": ["3fa1c2d4"]}`,
	"PointService/HoldPoints":               `{"names": ["3fa1c2d4"], "reason": "case 1742"}`,
	"PointService/ReleasePoints":            `{"names": ["3fa1c2d4"], "reason": "case 1742 is closed"}`,
	"PointService/ListPoints":               `{"computer": "web1", "limit": 20}`,
	"PointService/ReadRecords":              `{"point": "3fa1c2d4"}`,
	"QueueService/SaveWindow":               `{"window": {"name": "night", "open": ["mon-fri 20:00-06:00"], "zone": "Europe/Paris"}}`,
	"QueueService/DeleteWindow":             `{"name": "night"}`,
	"QueueService/SetActivity":              `{"level": "computer/web1", "activities": ["backup"], "disabled": true, "time": "7200s"}`,
	"QueueService/SetLimit":                 `{"level": "repository/main", "sessions": 4}`,
	"QueueService/SetPriority":              `{"level": "computer/web1", "digit": 2}`,
	"RepositoryService/CreateRepository":    `{"repository": {"name": "main", "transport": "store1", "path": "/srv/backup"}}`,
	"RepositoryService/EditRepository":      `{"name": "main", "streams": 8}`,
	"RepositoryService/AttachRepository":    `{"repository": {"name": "main", "transport": "store1", "path": "/srv/backup"}, "recoveryKey": "…"}`,
	"RepositoryService/AddRepositoryKey":    `{"name": "main", "label": "safe"}`,
	"RepositoryService/RemoveRepositoryKey": `{"name": "main", "number": "2"}`,
	"RepositoryService/CheckRepository":     `{"name": "main", "readData": true, "budget": "7200s"}`,
	"RepositoryService/SweepRepository":     `{"name": "main", "dryRun": true}`,
	"RestoreService/RestoreFiles":           `{"computer": "web1", "point": "latest", "paths": ["` + path("/srv/docs") + `"], "to": "` + path("/tmp/back") + `", "overwrite": "different"}`,
	"SessionService/ListSessions":           `{"job": "docs", "statuses": ["failed"], "limit": 20}`,
	"SessionService/WatchSessions":          `{"filter": {"active": true}}`,
	"SessionService/ReadLog":                `{"id": 42}`,
	"SessionService/SetSessionPriority":     `{"id": 42, "priority": 100}`,
	"SettingsService/SetSetting":            `{"name": "duplicates", "value": "queue"}`,
	"SettingsService/ResetSetting":          `{"name": "duplicates"}`,
	"TrafficService/SaveTrafficRule":        `{"rule": {"name": "office", "target": ["10.1.0.0/16"], "limit": "40Mbit/s", "hours": ["mon-fri 08:00-18:00"]}}`,
	"UpdateService/GetRollout":              `{"id": 7}`,
	"UpdateService/StopRollout":             `{"id": 7}`,
	"UpdateService/UpdateComputers":         `{"group": "web", "atOnce": 5}`,
	"UpdateService/UploadPackage":           `{"offset": 0, "data": "f0VMRg=="}`,
	"UpdateService/RemovePackage":           `{"os": "linux", "arch": "arm64", "version": "1.4.0"}`,
	"UserService/CreateUser":                `{"name": "ann", "role": "operator", "password": "…"}`,
	"UserService/EditUser":                  `{"name": "ann", "role": "viewer", "limit": {"groups": ["web"]}}`,
	"UserService/SetPassword":               `{"password": "…", "currentPassword": "…"}`,
	"UserService/RemoveUser":                `{"name": "ann"}`,
}

const aJob = `{"name": "docs", "type": "backup", "computers": ["web1"], "files": {"include": ["/srv/docs"]}, "repository": "main", "schedule": "daily 22:00"}`

// path is a path as JSON has it: names of files need not be text.
func path(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// named is what a call of a service is about in the examples.
var named = map[string]string{
	"ComputerService": "web1", "ConnectionService": "web1", "GroupService": "web", "JobService": "docs", "NotifyService": "ops",
	"RepositoryService": "main", "TrafficService": "office",
}

// common are the values of fields that mean the same wherever they are.
var common = map[string]string{
	"id": `42`, "computer": `"web1"`, "job": `"docs"`, "repository": `"main"`, "code": `"123456"`, "reason": `"the network is rebuilt"`, "password": `"…"`,
}

// Example is a request of a call as JSON: {} where it need not say anything.
func Example(m protoreflect.MethodDescriptor) string {
	service := string(m.Parent().Name())
	if body, ok := bodies[service+"/"+string(m.Name())]; ok {
		return body
	}
	var fields []string
	for i := range m.Input().Fields().Len() {
		f := m.Input().Fields().Get(i)
		name := string(f.Name())
		value := common[name]
		if name == "name" {
			value = fmt.Sprintf("%q", named[service])
		}
		if f.Kind() == protoreflect.StringKind && value != "" && value[0] != '"' {
			value = `"` + value + `"`
		}
		plain := f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.Int64Kind
		if value != "" && value != `""` && plain && !f.IsList() {
			fields = append(fields, fmt.Sprintf("%q: %s", f.JSONName(), value))
		}
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// Secret tells whether a field of a request must not be an argument of a program.
func Secret(name protoreflect.Name) bool {
	switch name {
	case "password", "current_password", "secret", "passphrase", "recovery_key", "code", "token":
		return true
	}
	return false
}

// HasSecret tells whether a message has such a field that its example fills in.
func HasSecret(m protoreflect.MessageDescriptor) bool {
	for i := range m.Fields().Len() {
		if Secret(m.Fields().Get(i).Name()) {
			return true
		}
	}
	return false
}
