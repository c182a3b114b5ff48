package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// published are the folders, by module, that hold the definitions of resources, as the
// projects publish them.
var published = map[string]string{
	"knative.dev/serving":     "config/core/300-resources",
	"knative.dev/eventing":    "config/core/resources",
	"sigs.k8s.io/gateway-api": "config/crd/standard",
	"github.com/dapr/dapr":    "charts/dapr/crds",
}

// schemas holds what a cluster checks a resource against, by its apiVersion and kind.
type schemas map[string]apiextensions.JSONSchemaProps

func readSchemas() (schemas, error) {
	all := schemas{}
	for module, folder := range published {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", module, err)
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), folder, "*.yaml"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("%s has no definitions in %s (%w)", module, folder, err)
		}
		for _, file := range files {
			if err := all.add(file); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return all, nil
}

func (all schemas) add(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &definition); err != nil {
		return err
	}
	for _, version := range definition.Spec.Versions {
		if version.Schema == nil || !version.Served {
			continue
		}
		var properties apiextensions.JSONSchemaProps
		err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &properties, nil)
		if err != nil {
			return err
		}
		all[definition.Spec.Group+"/"+version.Name+" "+definition.Spec.Names.Kind] = properties
	}
	return nil
}

// validate checks a resource as the cluster's API server does when it is applied: shape,
// bounds, and the rules in the definition.
func (all schemas) validate(kind string, object map[string]any) error {
	properties, ok := all[kind]
	if !ok {
		return nil
	}
	structural, err := schema.NewStructural(&properties)
	if err != nil {
		return err
	}
	defaulting.Default(object, structural)
	validator, _, err := validation.NewSchemaValidator(&properties)
	if err != nil {
		return err
	}
	problems := validation.ValidateCustomResource(nil, object, validator)
	rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	broken, _ := rules.Validate(context.Background(), nil, structural, object, nil, celconfig.RuntimeCELCostBudget)
	return errors.Join(append(problems, broken...).ToAggregate())
}
