// Selectors are answered by Kubernetes' own package: cyclonus thinks that NotIn wants the label to
// be there, and that a label wanted empty may be missing. Whoever a selector selects gets a label
// that says so, and a selector of that label takes its place.

package main

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// marks gives each selector a label of its own among the objects that it may select.
type marks struct {
	count  int
	groups []map[string]string
}

func resolveSelectors(given *world) {
	pods, namespaces := &marks{}, &marks{}
	for at := range given.Pods {
		pods.groups = append(pods.groups, ownLabels(&given.Pods[at].Labels))
	}
	for at := range given.Namespaces {
		namespaces.groups = append(namespaces.groups, ownLabels(&given.Namespaces[at].Labels))
	}
	for _, policy := range given.Policies {
		pods.resolve(&policy.Spec.PodSelector)
		for _, rule := range policy.Spec.Ingress {
			for _, from := range rule.From {
				pods.resolve(from.PodSelector)
				namespaces.resolve(from.NamespaceSelector)
			}
		}
		for _, rule := range policy.Spec.Egress {
			for _, to := range rule.To {
				pods.resolve(to.PodSelector)
				namespaces.resolve(to.NamespaceSelector)
			}
		}
	}
}

// resolve replaces a selector in its place; nil stays nil.
func (all *marks) resolve(selector *metav1.LabelSelector) {
	if selector == nil {
		return
	}
	asked, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		panic(err)
	}
	key := fmt.Sprintf("mark-%d", all.count)
	all.count++
	for _, one := range all.groups {
		if asked.Matches(unmarked(one)) {
			one[key] = "selected"
		}
	}
	*selector = metav1.LabelSelector{MatchLabels: map[string]string{key: "selected"}}
}

func ownLabels(given *map[string]string) map[string]string {
	if *given == nil {
		*given = map[string]string{}
	}
	return *given
}

// unmarked needs no copy: no selector of the world asks for a mark.
func unmarked(own map[string]string) labels.Set {
	return labels.Set(own)
}
