// The ClusterNetworkPolicy suite of the network policy API as one program.
package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/network-policy-api/conformance/tests"
	"sigs.k8s.io/network-policy-api/conformance/utils/flags"
	"sigs.k8s.io/network-policy-api/conformance/utils/suite"
	"sigs.k8s.io/yaml"
)

// The suite has such an option, but no flag for it.
var skipTests = flag.String("skip-tests", "", "Tests not to run, with commas between them; the report tells")

func TestConformance(t *testing.T) {
	runner := newSuite(t)
	runner.Setup(t)
	if err := runner.Run(t, tests.ConformanceTests); err != nil {
		t.Fatal(err)
	}
	if *flags.ReportOutput != "" {
		writeReport(t, runner)
	}
}

func newSuite(t *testing.T) *suite.ConformanceProfileTestSuite {
	rest, err := config.GetConfig()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := client.New(rest, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v1alpha2.Install(objects.Scheme()); err != nil {
		t.Fatal(err)
	}
	clients, err := kubernetes.NewForConfig(rest)
	if err != nil {
		t.Fatal(err)
	}
	implementation, err := suite.ParseImplementation(
		*flags.ImplementationOrganization,
		*flags.ImplementationProject,
		*flags.ImplementationURL,
		*flags.ImplementationVersion,
		*flags.ImplementationContact,
		*flags.ImplementationAdditionalInformation,
	)
	if err != nil {
		t.Fatal(err)
	}
	runner, err := suite.NewConformanceProfileTestSuite(suite.ConformanceProfileOptions{
		Options: suite.Options{
			Client:               objects,
			ClientSet:            clients,
			KubeConfig:           *rest,
			CleanupBaseResources: *flags.CleanupBaseResources,
			SupportedFeatures:    suite.ParseSupportedFeatures(*flags.SupportedFeatures),
			SkipTests:            strings.Split(*skipTests, ","),
		},
		Implementation:      *implementation,
		ConformanceProfiles: sets.New(suite.ConformanceProfileName(*flags.ConformanceProfiles)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return runner
}

func writeReport(t *testing.T, runner *suite.ConformanceProfileTestSuite) {
	report, err := runner.Report()
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*flags.ReportOutput, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
