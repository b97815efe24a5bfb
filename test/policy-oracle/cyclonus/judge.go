// A world and flows in it, and what cyclonus says of them.

package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// world is the objects as the API has them, and flows by addresses.
type world struct {
	Policies   []*networkingv1.NetworkPolicy `json:"policies"`
	Namespaces []corev1.Namespace            `json:"namespaces"`
	Pods       []corev1.Pod                  `json:"pods"`
	Flows      []flow                        `json:"flows"`
}

type flow struct {
	From     string          `json:"from"`
	To       string          `json:"to"`
	Protocol corev1.Protocol `json:"protocol"`
	Port     int             `json:"port"`
}

// answer has one character a flow: "+" allowed, "i" denied by ingress, "e" by egress, "b" by both.
type answer struct {
	Verdicts string `json:"verdicts"`
	Error    string `json:"error,omitempty"`
}

// judgeLine answers with an error where cyclonus panics, as it does at invalid policies.
func judgeLine(line []byte) (told answer) {
	defer func() {
		if panicked := recover(); panicked != nil {
			told = answer{Error: fmt.Sprint(panicked)}
		}
	}()
	var given world
	if err := json.Unmarshal(line, &given); err != nil {
		return answer{Error: err.Error()}
	}
	setDefaults(given.Policies)
	resolveSelectors(&given)
	policy := matcher.BuildNetworkPolicies(false, given.Policies)
	peers := peersByAddress(&given)
	verdicts := make([]byte, 0, len(given.Flows))
	for _, flow := range given.Flows {
		verdicts = append(verdicts, judge(policy, peers, flow))
	}
	return answer{Verdicts: string(verdicts)}
}

// setDefaults does what the API server does before anybody sees a policy.
func setDefaults(policies []*networkingv1.NetworkPolicy) {
	for _, policy := range policies {
		if len(policy.Spec.PolicyTypes) > 0 {
			continue
		}
		policy.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(policy.Spec.Egress) > 0 {
			types := append(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
			policy.Spec.PolicyTypes = types
		}
	}
}

type peer struct {
	internal *matcher.InternalPeer
	ports    []corev1.ContainerPort
}

func peersByAddress(given *world) map[string]peer {
	labels := map[string]map[string]string{}
	for _, namespace := range given.Namespaces {
		labels[namespace.Name] = namespace.Labels
	}
	peers := map[string]peer{}
	for _, pod := range given.Pods {
		one := peer{internal: &matcher.InternalPeer{
			PodLabels:       pod.Labels,
			NamespaceLabels: labels[pod.Namespace],
			Namespace:       pod.Namespace,
		}}
		for _, container := range pod.Spec.Containers {
			one.ports = append(one.ports, container.Ports...)
		}
		for _, address := range pod.Status.PodIPs {
			peers[address.IP] = one
		}
	}
	return peers
}

func judge(policy *matcher.Policy, peers map[string]peer, asked flow) byte {
	from, to := peers[asked.From], peers[asked.To]
	traffic := &matcher.Traffic{
		Source:           &matcher.TrafficPeer{IP: asked.From, Internal: from.internal},
		Destination:      &matcher.TrafficPeer{IP: asked.To, Internal: to.internal},
		ResolvedPort:     asked.Port,
		ResolvedPortName: portName(to.ports, asked),
		Protocol:         asked.Protocol,
	}
	result := policy.IsTrafficAllowed(traffic)
	switch in, out := result.Ingress.IsAllowed(), result.Egress.IsAllowed(); {
	case in && out:
		return '+'
	case out:
		return 'i'
	case in:
		return 'e'
	}
	return 'b'
}

// portName is "" where the port has none.
func portName(ports []corev1.ContainerPort, asked flow) string {
	at := slices.IndexFunc(ports, func(port corev1.ContainerPort) bool {
		protocol := port.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		return protocol == asked.Protocol && int(port.ContainerPort) == asked.Port
	})
	if at < 0 {
		return ""
	}
	return ports[at].Name
}
