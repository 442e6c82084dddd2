// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stagegate paravirtual IOMMU: probing, devices and faults.
 *
 * The hypervisor gives every endpoint of this virtual machine a DMA address
 * space of its own on request. The calls are described in docs/abi.md of the
 * Stagegate sources.
 */

#define pr_fmt(fmt) "stagegate-iommu: " fmt

#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_address.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "driver.h"

struct stagegate_iommu {
	struct iommu_device iommu;
	struct device *dev;
	struct xarray endpoints;	/* endpoint number to struct device */
	struct resource msi;		/* doorbell page, mapped by the host */
	u32 identity;			/* domain ids */
	u32 blocked;
	int irq;			/* of fault events, or 0 */
	bool has_identity;
	bool has_blocked;
};

struct stagegate_features stagegate_features;

/* There is one interface per virtual machine */
static struct stagegate_iommu *stagegate;

static u64 stagegate_device_info(u32 endpoint)
{
	struct arm_smccc_res res;

	stagegate_call(&res, STAGEGATE_DEVICE_INFO, endpoint);
	return (long)res.a0 ? 0 : res.a1;
}

/* Moves all endpoints of a device into a domain; on failure none is moved on */
int stagegate_attach_id(u32 id, struct device *dev)
{
	struct iommu_fwspec *fwspec = dev_iommu_fwspec_get(dev);
	struct arm_smccc_res res;
	int i, ret;

	for (i = 0; i < fwspec->num_ids; i++) {
		stagegate_call(&res, STAGEGATE_ATTACH, id, fwspec->ids[i]);
		ret = stagegate_errno(&res);
		if (ret)
			return ret;
	}
	return 0;
}

static int stagegate_attach_identity(struct iommu_domain *domain,
				     struct device *dev)
{
	if (!stagegate->has_identity)
		return -EPERM;
	return stagegate_attach_id(stagegate->identity, dev);
}

static int stagegate_attach_blocked(struct iommu_domain *domain,
				    struct device *dev)
{
	if (!stagegate->has_blocked)
		return -EPERM;
	return stagegate_attach_id(stagegate->blocked, dev);
}

static struct iommu_domain stagegate_identity_domain = {
	.type = IOMMU_DOMAIN_IDENTITY,
	.ops = &(const struct iommu_domain_ops) {
		.attach_dev = stagegate_attach_identity,
	},
};

static struct iommu_domain stagegate_blocked_domain = {
	.type = IOMMU_DOMAIN_BLOCKED,
	.ops = &(const struct iommu_domain_ops) {
		.attach_dev = stagegate_attach_blocked,
	},
};

static bool stagegate_capable(struct device *dev, enum iommu_cap cap)
{
	struct iommu_fwspec *fwspec = dev_iommu_fwspec_get(dev);

	switch (cap) {
	case IOMMU_CAP_CACHE_COHERENCY:
		return fwspec && fwspec->num_ids &&
		       (stagegate_device_info(fwspec->ids[0]) &
			STAGEGATE_DEVICE_COHERENT);
	case IOMMU_CAP_DEFERRED_FLUSH:
		return true;
	default:
		return false;
	}
}

static struct iommu_device *stagegate_probe_device(struct device *dev)
{
	struct iommu_fwspec *fwspec = dev_iommu_fwspec_get(dev);
	int i, ret;

	if (!stagegate || !fwspec || !fwspec->num_ids)
		return ERR_PTR(-ENODEV);
	for (i = 0; i < fwspec->num_ids; i++) {
		if (!(stagegate_device_info(fwspec->ids[i]) &
		      STAGEGATE_DEVICE_PRESENT)) {
			dev_warn(dev, "endpoint %#x is not ours\n",
				 fwspec->ids[i]);
			ret = -ENODEV;
			goto err_erase;
		}
		/* Aliases share an endpoint; the first device is as good */
		ret = xa_insert(&stagegate->endpoints, fwspec->ids[i], dev,
				GFP_KERNEL);
		if (ret && ret != -EBUSY)
			goto err_erase;
	}
	return &stagegate->iommu;

err_erase:
	while (i--)
		xa_cmpxchg(&stagegate->endpoints, fwspec->ids[i], dev, NULL,
			   GFP_KERNEL);
	return ERR_PTR(ret);
}

static void stagegate_release_device(struct device *dev)
{
	struct iommu_fwspec *fwspec = dev_iommu_fwspec_get(dev);
	struct arm_smccc_res res;
	u64 flags;
	int i;

	for (i = 0; i < fwspec->num_ids; i++) {
		stagegate_call(&res, STAGEGATE_DEVICE_INFO, fwspec->ids[i]);
		flags = (long)res.a0 ? 0 : res.a1;
		if (flags & STAGEGATE_DEVICE_ATTACHED)
			stagegate_call(&res, STAGEGATE_DETACH, res.a2,
				       fwspec->ids[i]);
		xa_cmpxchg(&stagegate->endpoints, fwspec->ids[i], dev, NULL,
			   GFP_KERNEL);
	}
}

static struct iommu_group *stagegate_device_group(struct device *dev)
{
	if (dev_is_pci(dev))
		return pci_device_group(dev);
	return generic_device_group(dev);
}

static void stagegate_get_resv_regions(struct device *dev,
				       struct list_head *head)
{
	struct iommu_resv_region *region;

	if (!dev_is_pci(dev) || !stagegate->msi.end)
		return;
	/* Mapped one to one by the host in every domain: never remapped */
	region = iommu_alloc_resv_region(stagegate->msi.start,
					 resource_size(&stagegate->msi),
					 IOMMU_WRITE | IOMMU_NOEXEC |
					 IOMMU_MMIO, IOMMU_RESV_MSI,
					 GFP_KERNEL);
	if (region)
		list_add_tail(&region->list, head);
}

static int stagegate_of_xlate(struct device *dev,
			      const struct of_phandle_args *args)
{
	return iommu_fwspec_add_ids(dev, args->args, 1);
}

static const struct iommu_ops stagegate_ops = {
	.capable		= stagegate_capable,
	.domain_alloc_paging	= stagegate_domain_alloc_paging,
	.probe_device		= stagegate_probe_device,
	.release_device		= stagegate_release_device,
	.device_group		= stagegate_device_group,
	.get_resv_regions	= stagegate_get_resv_regions,
	.of_xlate		= stagegate_of_xlate,
	.identity_domain	= &stagegate_identity_domain,
	.blocked_domain		= &stagegate_blocked_domain,
	.default_domain_ops	= &stagegate_domain_ops,
	.pgsize_bitmap		= SZ_4K | SZ_2M | SZ_1G,
	.owner			= THIS_MODULE,
};

static void stagegate_report(struct device *dev, unsigned int endpoint,
			     u64 word, u64 iova)
{
	u64 flags = word >> 8;
	struct iommu_domain *domain;

	domain = dev ? iommu_get_domain_for_dev(dev) : NULL;
	if (domain && !report_iommu_fault(domain, dev, iova,
					  flags & STAGEGATE_EVENT_FLAG_WRITE ?
					  IOMMU_FAULT_WRITE : IOMMU_FAULT_READ))
		return;
	dev_err_ratelimited(dev ?: stagegate->dev,
			    "DMA fault: endpoint %#x %s %#llx, reason %u%s\n",
			    endpoint,
			    flags & STAGEGATE_EVENT_FLAG_WRITE ?
			    "writes" : "reads", iova,
			    (unsigned int)(word & 0xff),
			    flags & STAGEGATE_EVENT_FLAG_OVERFLOW ?
			    " (events were lost)" : "");
}

static irqreturn_t stagegate_events(int irq, void *data)
{
	struct stagegate_iommu *si = data;
	irqreturn_t ret = IRQ_NONE;
	struct arm_smccc_res res;

	for (;;) {
		struct device *dev;

		stagegate_call(&res, STAGEGATE_EVENT_GET);
		if ((long)res.a0)
			return ret;
		ret = IRQ_HANDLED;
		/* The device must not go away while its fault is reported */
		xa_lock(&si->endpoints);
		dev = get_device(xa_load(&si->endpoints, res.a2));
		xa_unlock(&si->endpoints);
		stagegate_report(dev, res.a2, res.a1, res.a3);
		put_device(dev);
	}
}

/* Is it Stagegate that answers, in a revision we know? */
static int stagegate_hello(struct device *dev)
{
	struct arm_smccc_res res;

	if (arm_smccc_1_1_get_conduit() != SMCCC_CONDUIT_HVC)
		return -ENODEV;
	stagegate_call(&res, STAGEGATE_CALL_UID);
	if ((u32)res.a0 != STAGEGATE_UID_0 || (u32)res.a1 != STAGEGATE_UID_1 ||
	    (u32)res.a2 != STAGEGATE_UID_2 || (u32)res.a3 != STAGEGATE_UID_3)
		return -ENODEV;
	stagegate_call(&res, STAGEGATE_REVISION);
	if (res.a0 != STAGEGATE_REVISION_MAJOR)
		return dev_err_probe(dev, -ENODEV, "revision %lu.%lu\n", res.a0,
				     res.a1);
	stagegate_call(&res, STAGEGATE_FEATURES);
	if ((long)res.a0 < 0 || !(res.a1 & STAGEGATE_FEATURE_MAP))
		return dev_err_probe(dev, -ENODEV, "no DMA domains offered\n");
	stagegate_features.functions = res.a0;
	stagegate_features.flags = res.a1;
	stagegate_features.pgsize_bitmap = res.a2;
	stagegate_features.iova_bits = res.a3 & 0xff;
	stagegate_features.list_max = (res.a3 >> 16) & 0xffff;
	if (stagegate_features.iova_bits < 32 ||
	    stagegate_features.iova_bits > 63 || !res.a2)
		return dev_err_probe(dev, -EINVAL, "senseless features\n");
	return 0;
}

static bool stagegate_alloc_special(u64 flags, u32 *id)
{
	struct arm_smccc_res res;

	stagegate_call(&res, STAGEGATE_DOMAIN_ALLOC, flags);
	*id = res.a1;
	return !res.a0;
}

static void stagegate_free_special(struct stagegate_iommu *si)
{
	struct arm_smccc_res res;

	if (si->has_identity)
		stagegate_call(&res, STAGEGATE_DOMAIN_FREE, si->identity);
	if (si->has_blocked)
		stagegate_call(&res, STAGEGATE_DOMAIN_FREE, si->blocked);
}

static void stagegate_find_msi(struct stagegate_iommu *si)
{
	struct device_node *np;

	np = of_find_compatible_node(NULL, NULL, "arm,gic-v2m-frame");
	if (np && of_address_to_resource(np, 0, &si->msi))
		memset(&si->msi, 0, sizeof(si->msi));
	of_node_put(np);
}

static int stagegate_register(struct stagegate_iommu *si)
{
	int ret;

	ret = iommu_device_sysfs_add(&si->iommu, si->dev, NULL, "%s",
				     dev_name(si->dev));
	if (ret)
		return ret;
	stagegate = si;
	ret = iommu_device_register(&si->iommu, &stagegate_ops, si->dev);
	if (ret) {
		stagegate = NULL;
		iommu_device_sysfs_remove(&si->iommu);
	}
	return ret;
}

/* Without the interrupt faults stay unseen, but everything else works */
static void stagegate_request_irq(struct stagegate_iommu *si, int irq)
{
	int ret;

	if (irq <= 0 || !(stagegate_features.flags & STAGEGATE_FEATURE_EVENTS))
		return;
	ret = request_threaded_irq(irq, NULL, stagegate_events, IRQF_ONESHOT,
				   dev_name(si->dev), si);
	if (ret)
		dev_warn(si->dev, "no fault interrupt (%d)\n", ret);
	else
		si->irq = irq;
}

static int stagegate_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct stagegate_iommu *si;
	int ret;

	if (stagegate)
		return -EBUSY;
	ret = stagegate_hello(dev);
	if (ret)
		return ret;
	si = devm_kzalloc(dev, sizeof(*si), GFP_KERNEL);
	if (!si)
		return -ENOMEM;
	si->dev = dev;
	xa_init(&si->endpoints);
	stagegate_find_msi(si);
	ret = stagegate_lists_alloc();
	if (ret)
		return ret;
	si->has_identity = stagegate_alloc_special(STAGEGATE_ALLOC_IDENTITY,
						   &si->identity);
	si->has_blocked = stagegate_alloc_special(STAGEGATE_ALLOC_BLOCKED,
						  &si->blocked);
	platform_set_drvdata(pdev, si);
	ret = stagegate_register(si);
	if (ret)
		goto err_free;

	stagegate_request_irq(si, platform_get_irq_optional(pdev, 0));
	dev_info(dev, "%u-bit IOVA, page sizes %#llx, lists of %u\n",
		 stagegate_features.iova_bits, stagegate_features.pgsize_bitmap,
		 stagegate_features.list_max);
	return 0;

err_free:
	stagegate_free_special(si);
	stagegate_lists_free();
	return ret;
}

static void stagegate_remove(struct platform_device *pdev)
{
	struct stagegate_iommu *si = platform_get_drvdata(pdev);

	if (si->irq)
		free_irq(si->irq, si);
	iommu_device_unregister(&si->iommu);
	iommu_device_sysfs_remove(&si->iommu);
	stagegate = NULL;
	stagegate_free_special(si);
	stagegate_lists_free();
	xa_destroy(&si->endpoints);
}

static const struct of_device_id stagegate_of_match[] = {
	{ .compatible = "stagegate,iommu" },
	{ }
};
MODULE_DEVICE_TABLE(of, stagegate_of_match);

static struct platform_driver stagegate_driver = {
	.driver = {
		.name = "stagegate-iommu",
		.of_match_table = stagegate_of_match,
		/* Devices in its groups keep the module; so must sysfs */
		.suppress_bind_attrs = true,
	},
	.probe = stagegate_probe,
	.remove_new = stagegate_remove,
};
module_platform_driver(stagegate_driver);

MODULE_DESCRIPTION("Stagegate paravirtual IOMMU");
MODULE_LICENSE("GPL");
