package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) repositoryCheck() *cobra.Command {
	r := &keepwardv1.CheckRepositoryRequest{}
	var sample share
	var budget, older duration
	var rate byteSize
	var wait bool
	cmd := &cobra.Command{
		Use: "check NAME", Short: "Check that a repository is whole",
		Long: `Checks that everything that restore points need is there. With --read-data packs are read as well, those whose content was proved longest ago first: what points need is opened and compared with its hash, and of all else the checksums.
Each pack that was read is remembered as proved, also if the check is stopped, so the next one goes on with the others.`,
		Example: "  keepward repository check main --read-data --budget 30m", Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
	}
	f := cmd.Flags()
	f.BoolVar(&r.ReadData, "read-data", false, "read and re-hash all data, or as much as the flags below say")
	f.Var(&sample, "sample", "only this share of all bytes, such as 10%: those whose proof is oldest")
	f.Var(&budget, "budget", "stop after so long, behind the pack that is being read")
	f.Var(&older, "older-than", "only what was not proved for so long")
	f.Var(&rate, "rate", "read no more than this in a second, such as 50M")
	waitFlag(cmd, &wait)
	cmd.RunE = a.withClient(func(ctx context.Context, c *client, args []string) error {
		r.Name, r.Sample, r.Rate = args[0], float64(sample), int64(rate)
		if budget > 0 {
			r.Budget = durationpb.New(time.Duration(budget))
		}
		if older > 0 {
			r.OlderThan = durationpb.New(time.Duration(older))
		}
		m, err := call(ctx, c.repositories.CheckRepository, r)
		if err != nil {
			return err
		}
		return a.maintained(ctx, c, m, wait)
	})
	return cmd
}

// share is a flag such as 10%, kept as 0.1.
type share float64

func (s *share) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*s)*100, 'g', -1, 64) + "%"
}

func (*share) Type() string { return "percent" }

func (s *share) Set(text string) error {
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, "%")), 64)
	if err != nil || !(v > 0 && v <= 100) {
		return usage("%q is no share; write for instance 10%%", text)
	}
	*s = share(v / 100)
	return nil
}

// byteSize is a flag such as 500k, 50M or 1G, in powers of 1024.
type byteSize int64

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (*byteSize) Type() string { return "size" }

func (b *byteSize) Set(text string) error {
	number, factor := text, int64(1)
	if i := strings.IndexAny(text, "kKmMgG"); i >= 0 && slices.Contains([]string{"", "B", "iB"}, text[i+1:]) {
		number = text[:i]
		factor = map[byte]int64{'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30}[text[i]|0x20]
	}
	v, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || v <= 0 || v > 1<<40 {
		return usage("%q is no size; write for instance 500k, 50M or 1G", text)
	}
	*b = byteSize(v * factor)
	return nil
}

// proofFlags are how well the content of a repository is to be proved.
type proofFlags struct {
	within  duration
	foreign string
	parity  int32
}

func (p *proofFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(&p.within, "proved-within", "prove all content again within so many days, such as 30d (0d: never by itself)")
	f.StringVar(&p.foreign, "foreign-proof", "", "when what another computer stored is proved before it is relied on: first-use, arrival: all that comes is opened before its point counts, or never: then it is stored again")
	f.Int32Var(&p.parity, "parity", 0, "percent of its size that each pack gets as parity, by which a check mends it, 1 to 25 (0: none)")
	noError(cmd.RegisterFlagCompletionFunc("foreign-proof", cobra.FixedCompletions([]string{"first-use", "arrival", "never"}, cobra.ShellCompDirectiveNoFileComp)))
}

func (p *proofFlags) days() (int32, error) {
	if p.within%duration(day) != 0 {
		return 0, usage("--proved-within wants whole days, such as 30d")
	}
	return int32(p.within / duration(day)), nil
}

// create puts the flags into a repository to be made.
func (p *proofFlags) create(r *keepwardv1.Repository) (err error) {
	r.ForeignProof, r.Parity = p.foreign, p.parity
	r.ProofDays, err = p.days()
	return err
}

// edit puts the flags that were given into req, and answers whether there were any.
func (p *proofFlags) edit(cmd *cobra.Command, req *keepwardv1.EditRepositoryRequest) (bool, error) {
	within, foreign, parity := cmd.Flags().Changed("proved-within"), cmd.Flags().Changed("foreign-proof"), cmd.Flags().Changed("parity")
	if within {
		days, err := p.days()
		if err != nil {
			return false, err
		}
		req.ProofDays = &days
	}
	if foreign {
		req.ForeignProof = &p.foreign
	}
	if parity {
		req.Parity = &p.parity
	}
	return within || foreign || parity, nil
}

// proofFields are how well a repository is proved, for a list of fields.
func (a *app) proofFields(r *keepwardv1.Repository) []string {
	st := r.GetProof()
	wanted := "not asked for"
	if d := r.GetProofDays(); d > 0 {
		wanted = "within " + strconv.Itoa(int(d)) + " days"
	}
	parity := "none"
	if n := r.GetParity(); n > 0 {
		parity = strconv.Itoa(int(n)) + " %"
	}
	fields := []string{"proof", wanted, "foreign proof", r.GetForeignProof(), "parity", parity}
	if st == nil {
		return fields
	}
	fields = append(fields, "proved", size(st.GetProvedBytes())+" of "+size(st.GetBytes()))
	if st.GetOldest() != nil {
		fields = append(fields, "oldest proof", a.stamp(st.GetOldest()))
	}
	if st.GetDuePacks() > 0 {
		fields = append(fields, "proof overdue", count(st.GetDuePacks())+" packs, "+size(st.GetDueBytes()))
	}
	if st.GetDamagedPacks() > 0 {
		fields = append(fields, "packs with damage", count(st.GetDamagedPacks()))
	}
	if st.GetLostChunks() > 0 {
		fields = append(fields, "damaged chunks", count(st.GetLostChunks())+" that lie nowhere else")
	}
	return fields
}
